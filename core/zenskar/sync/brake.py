"""Slow a connection down that its external system has told to be slower."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from zenskar.sync.retry import RetryPolicy

_BASE_SECONDS = 1.0


@dataclass(slots=True)
class _Hold:
    in_a_row: int = 0
    until: float = 0.0


class Brake:
    """Holds back all calls of a connection after a refusal, longer each time in a row.

    Of this process; the others find out by themselves. What was held back comes spread out, so
    that it is not refused together again.
    """

    def __init__(self, dice: random.Random, clock: Callable[[], float] = time.monotonic) -> None:
        self._dice = dice
        self._clock = clock
        self._holds: dict[str, _Hold] = {}

    def refused(self, source: str, retry_after: float | None, most_seconds: float) -> float:
        """Note that a call came too soon; return how long it waits."""
        hold, now = self._holds.setdefault(source, _Hold()), self._clock()
        if hold.until <= now:
            # Calls that were under way together are refused together: that counts once.
            hold.in_a_row += 1
        backoff = RetryPolicy(1, _BASE_SECONDS, most_seconds).delay(hold.in_a_row, self._dice)
        hold.until = max(hold.until, now + max(retry_after or 0.0, backoff))
        return self.wait(source)

    def wait(self, source: str) -> float:
        """Return how long a call has to wait, 0 when it may be made."""
        hold = self._holds.get(source)
        left = hold.until - self._clock() if hold is not None else 0.0
        return left + self._dice.uniform(0, left) if left > 0 else 0.0

    def succeeded(self, source: str) -> None:
        """Note an answer; a hold that is on stays on."""
        hold = self._holds.get(source)
        if hold is not None and hold.until <= self._clock():
            del self._holds[source]
