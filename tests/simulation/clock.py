"""A clock that moves when it is told to, so that many things happen in one second."""

import time


class Clock:
    """Unix seconds, the same for the external system and the workers."""

    def __init__(self) -> None:
        self._now = float(int(time.time()))

    def __call__(self) -> float:
        return self._now

    def tick(self, seconds: float) -> None:
        """Move on."""
        self._now += seconds
