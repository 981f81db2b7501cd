"""The sandbox's own clock, which may go wrong like any other."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ShiftedClock:
    """Shows Unix seconds, so far from another clock as it was set."""

    def __init__(self, base: Callable[[], float]) -> None:
        self._base = base
        self.shift = 0.0

    def __call__(self) -> float:
        """The present time."""
        return self._base() + self.shift

    def header(self) -> str:
        """The present second as a `Date` header: RFC 9110, section 6.6.1."""
        return formatdate(int(self()), usegmt=True)
