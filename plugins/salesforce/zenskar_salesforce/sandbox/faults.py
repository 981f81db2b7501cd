"""Injected faults of calls: their kinds, their number, and the calls that they hit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """The kind of a fault."""

    REFUSE = "refuse"
    """An error of the API without an effect: `status`, with `code` and `message` in its body."""
    SERVER_ERROR = "server_error"
    DROP_ANSWER = "drop_answer"
    DROP_REQUEST = "drop_request"
    ZOMBIE = "zombie"
    """The connection breaks at once, and the call takes effect `delay_seconds` later."""
    CUT = "cut"
    HTML = "html"
    DELAY = "delay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault that hits the next `count` calls of a method and a path.

    A `REFUSE` without a `code` has no body. `effect`: a `SERVER_ERROR` comes after the effect.
    """

    kind: FaultKind
    count: int = 1
    method: str | None = None
    path_contains: str = ""
    status: int = 400
    code: str = ""
    message: str = "injected"
    effect: bool = False
    delay_seconds: float = 0.1


class Faults:
    """The injected faults, in the order in which they were added."""

    def __init__(self) -> None:
        self._left: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Inject a fault."""
        self._left.append((fault, fault.count))

    def clear(self) -> None:
        """End every injection."""
        self._left.clear()

    def hit(self, method: str, path: str) -> Fault | None:
        """Return the first fault that hits a call, None without one."""
        for place, (fault, left) in enumerate(self._left):
            if fault.method in (None, method) and fault.path_contains in path:
                self._left[place] = (fault, left - 1)
                if left == 1:
                    del self._left[place]
                return fault
        return None
