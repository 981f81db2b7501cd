"""Delay the calls of a connection after a rate limit of its external system."""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections
from zenskar.db.connections import ConnectionState
from zenskar.errors import Failure, FailureKind
from zenskar.sync.resilience.retry import RetryPolicy
from zenskar.telemetry.logs import get_logger

HELD = "held_back"
"""The code of the failure of a call that was not made."""
_BACKOFF = RetryPolicy(1, 1.0, 300.0)
"""For rate limits without a duration; longer after each refusal in a row."""
_MOST_SECONDS = 86_400.0
_SPREAD, _MOST_SPREAD_SECONDS = 0.05, 15.0
"""Delayed calls are spread out, so that a burst of them is not refused again."""


_log = get_logger(__name__)


@dataclass(slots=True)
class _Hold:
    in_a_row: int = 0
    until: float = 0.0
    stored: bool = True


class RateLimitBackoff:
    """Delays every kind of call of a connection, in this process.

    The row of the connection holds the delay for all processes. Code that reads the states of the
    connections calls `learn`, so that this process knows the delays that others began or ended.
    """

    def __init__(
        self, rng: random.Random | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._clock = clock
        self._holds: dict[str, _Hold] = {}

    def refused(self, source: str, retry_after: float | None) -> float:
        """Begin or extend a delay after a refused call; return the seconds that it has left.

        Store them with the connection, then call `stored`.
        """
        hold, now = self._holds.setdefault(source, _Hold()), self._clock()
        if hold.until <= now:
            # Concurrent calls are refused together: that counts once.
            hold.in_a_row += 1
        asked = retry_after if retry_after is not None and not math.isnan(retry_after) else 0.0
        seconds = asked if asked > 0 else _BACKOFF.delay(hold.in_a_row, self._rng)
        hold.until = max(hold.until, now + min(seconds, _MOST_SECONDS))
        hold.stored = False
        return hold.until - now

    def stored(self, source: str) -> None:
        """Note that the connection's row holds the delay."""
        # Storing may take longer than the delay, and a call may have succeeded in between.
        if (hold := self._holds.get(source)) is not None:
            hold.stored = True

    def learn(self, states: Mapping[str, ConnectionState]) -> None:
        """Apply the delays in the rows of the connections, including ended ones."""
        now = self._clock()
        for source in {*self._holds, *states}:
            seconds = states[source].held_seconds if source in states else 0.0
            hold = self._holds.get(source)
            if seconds > 0:
                self._holds.setdefault(source, _Hold()).until = now + seconds
            elif hold is not None and hold.stored:
                hold.until = min(hold.until, now)

    def left(self, source: str) -> float:
        """Return the seconds until a call may be made, 0 when it may be made now."""
        hold = self._holds.get(source)
        return max(0.0, hold.until - self._clock()) if hold is not None else 0.0

    def any_held(self) -> bool:
        """Return whether the calls of any connection are delayed."""
        return any(self.left(source) for source in self._holds)

    def wait(self, source: str) -> float:
        """Return the seconds until a call should be made, with jitter; 0 when at once."""
        left = self.left(source)
        spread = min(max(1.0, left * _SPREAD), _MOST_SPREAD_SECONDS, left)
        return left + self._rng.uniform(0, spread) if left > 0 else 0.0

    def held(self, source: str) -> Failure | None:
        """Return the failure of a call that must not be made now, None when it may be made."""
        left = self.left(source)
        if left <= 0:
            return None
        text = f"held back for {left:.0f} s because of a rate limit"
        return Failure(FailureKind.RATE_LIMITED, text, HELD, left)

    def succeeded(self, source: str) -> None:
        """Forget an expired delay after an answered call."""
        hold = self._holds.get(source)
        if hold is not None and hold.until <= self._clock():
            del self._holds[source]


async def hold_back(
    backoff: RateLimitBackoff, db: AsyncConnection, source: str, retry_after: float | None
) -> float:
    """Delay all calls of a connection after a refusal; return the seconds."""
    before = backoff.left(source)
    seconds = backoff.refused(source, retry_after)
    await connections.hold(db, source, seconds)
    backoff.stored(source)
    if not before:
        _log.warning("connection_held", source=source, seconds=round(seconds, 1))
    return seconds
