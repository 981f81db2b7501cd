"""How many calls a second the connection may make."""

from aiolimiter import AsyncLimiter


class Budget:
    """Spaces calls out, in all and for each endpoint, each endpoint waiting on its own."""

    def __init__(self, rate: float, endpoint_rate: float) -> None:
        self._endpoint_rate = endpoint_rate
        self._all = _limiter(rate)
        self._endpoints: dict[str, AsyncLimiter | None] = {}

    async def spend(self, endpoint: str) -> None:
        """Wait until a call to this endpoint fits in."""
        if endpoint not in self._endpoints:
            self._endpoints[endpoint] = _limiter(self._endpoint_rate)
        for limiter in (self._endpoints[endpoint], self._all):
            if limiter is not None:
                await limiter.acquire()


def _limiter(rate: float) -> AsyncLimiter | None:
    # A bucket as large as the rate would let twice the rate through in its first second.
    return AsyncLimiter(1, 1 / rate) if rate > 0 else None
