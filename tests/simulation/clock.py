"""Clocks that move when they are told to, so that many things happen in one second."""

import time
from collections.abc import Callable


class Clock:
    """The right time in Unix seconds, which nobody sets."""

    def __init__(self) -> None:
        self._now = float(int(time.time()))

    def __call__(self) -> float:
        return self._now

    def tick(self, seconds: float) -> None:
        """Move on."""
        self._now += seconds


class WrongClock:
    """A clock of one side, which may be set to any time."""

    def __init__(self, right: Callable[[], float], shift: float = 0.0) -> None:
        self._right = right
        self.shift = shift

    def __call__(self) -> float:
        return self._right() + self.shift
