"""How many calls a second the connection may make."""

import asyncio

_SHARE = 0.975
_CATCH_UP_SECONDS = 0.02
"""Together they keep any second below the limit: a call that left late may be followed sooner."""


class Budget:
    """Spaces calls out, in all and for each endpoint, each endpoint waiting on its own."""

    def __init__(self, rate: float, endpoint_rate: float) -> None:
        self._endpoint_rate = endpoint_rate
        self._all = _Pace(rate)
        self._endpoints: dict[str, _Pace] = {}

    async def spend(self, endpoint: str) -> None:
        """Wait until a call to this endpoint fits in."""
        if endpoint not in self._endpoints:
            self._endpoints[endpoint] = _Pace(self._endpoint_rate)
        for pace in (self._endpoints[endpoint], self._all):
            await pace.turn()


class _Pace:
    """Gives out moments that lie evenly apart; a rate of 0 is no limit."""

    def __init__(self, rate: float) -> None:
        self._apart = 1 / (rate * _SHARE) if rate > 0 else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next moment that nobody has."""
        if not self._apart:
            return
        now = asyncio.get_running_loop().time()
        moment = max(self._next, now - _CATCH_UP_SECONDS)
        self._next = moment + self._apart
        if moment > now:
            await asyncio.sleep(moment - now)
