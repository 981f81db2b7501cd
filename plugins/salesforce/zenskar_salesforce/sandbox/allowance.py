"""Count calls against the allowance of 24 hours, which all applications of an org share."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .problems import Problem, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_DAY = 86_400
DEVELOPER_CALLS = 15_000
"""The calls of a Developer Edition in 24 hours."""


class Allowance:
    """The calls of the last 24 hours, and their limit."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: deque[float] = deque()
        self.limit = DEVELOPER_CALLS

    def spend(self) -> None:
        """Count a call. Raises `Refused` when no call is left."""
        now = self._clock()
        while self._calls and self._calls[0] <= now - _DAY:
            self._calls.popleft()
        if len(self._calls) >= self.limit:
            text = "TotalRequests Limit exceeded."
            raise Refused(403, Problem("REQUEST_LIMIT_EXCEEDED", text))
        self._calls.append(now)

    @property
    def used(self) -> int:
        """Return the number of counted calls."""
        return len(self._calls)

    @property
    def header(self) -> str:
        """Return the value of the header `Sforce-Limit-Info`."""
        return f"api-usage={self.used}/{self.limit}"
