"""The rate limit of a connection's calls."""

import asyncio
from collections import deque

_MARGIN = 0.025
"""The part of a window by which the network may delay one call more than the next calls."""
_CATCH_UP_SECONDS = 0.1
"""How long a busy process may make up for missed turns, within the window."""
_LONGEST_SECONDS = 10.0
"""The longest wait for a turn; a longer wait would look like a call without an answer."""


class NoTurn(Exception):
    """The queue of calls is too long, so the call was not made."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:.0f} s of calls are waiting already")
        self.seconds = seconds


class Budget:
    """Limits the rate of all calls and of the calls to each endpoint."""

    def __init__(self, rate: float, endpoint_rate: float) -> None:
        self._endpoint_rate = endpoint_rate
        self._all = _Pace(rate)
        self._endpoints: dict[str, _Pace] = {}

    async def spend(self, endpoint: str) -> None:
        """Wait for a call's turn at an endpoint. Raises `NoTurn` when the wait is too long."""
        own = self._endpoints.setdefault(endpoint, _Pace(self._endpoint_rate))
        seconds = max(own.ahead(), self._all.ahead())
        if seconds > _LONGEST_SECONDS:
            raise NoTurn(seconds)
        own.waiting += 1
        self._all.waiting += 1
        try:
            await self._turn(own)
        finally:
            own.waiting -= 1
            self._all.waiting -= 1

    async def _turn(self, own: "_Pace") -> None:
        async with own.queue:
            await own.due()
            async with self._all.queue:
                await self._all.due()
                own.take()
                self._all.take()


class _Pace:
    """Gives evenly spaced turns; a rate of 0 is no limit.

    Missed turns are made up for. No second, and no duration of a call if that is longer, holds more
    turns than the rate allows, by the times at which the turns were taken.
    """

    def __init__(self, rate: float) -> None:
        calls = max(1, int(rate))
        self.queue = asyncio.Lock()
        self.waiting = 0
        self._window = calls / rate * (1 + _MARGIN) if rate > 0 else 0.0
        self._apart = self._window / calls
        self._taken: deque[float] = deque(maxlen=calls)
        self._next = 0.0

    def ahead(self) -> float:
        """Return how many seconds the waiting calls use up all turns."""
        return self.waiting * self._apart

    async def due(self) -> None:
        """Wait for the next turn."""
        while (seconds := self._wait()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(seconds)

    def take(self) -> None:
        """Take a turn now."""
        now = _now()
        self._taken.append(now)
        self._next = max(self._next, now - _CATCH_UP_SECONDS) + self._apart

    def _wait(self) -> float:
        if not self._window:
            return 0.0
        full = len(self._taken) == self._taken.maxlen
        free = self._taken[0] + self._window if full else 0.0
        return max(self._next, free) - _now()


def _now() -> float:
    return asyncio.get_running_loop().time()
