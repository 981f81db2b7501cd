"""Clocks that a test moves, so that many things happen in one second."""

import time
from collections.abc import Callable


class Clock:
    """The right time in Unix seconds, which no act changes."""

    def __init__(self) -> None:
        self._now = float(int(time.time()))

    def __call__(self) -> float:
        return self._now

    def tick(self, seconds: float) -> None:
        """Advance the time."""
        self._now += seconds


class WrongClock:
    """The clock of one side, which an act may set to any time."""

    def __init__(self, right: Callable[[], float], shift: float = 0.0) -> None:
        self._right = right
        self.shift = shift

    def __call__(self) -> float:
        return self._right() + self.shift
