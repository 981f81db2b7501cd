"""Tell an outage of an external system from trouble with one record.

After some failed calls in a row the integration is asked for its health. If that is bad too, the
connection is paused and no attempt is used up; otherwise the record alone is in trouble.
"""

import asyncio
from collections import Counter
from contextlib import suppress

from zenskar.errors import CallFailed
from zenskar.model.integration import Health
from zenskar.plugins.router import Router

OUTAGE = "outage"
_HEALTH_SECONDS = 10.0


class Breaker:
    """Counts failed calls in a row, by source system, in this process."""

    def __init__(self, router: Router, failures: int) -> None:
        self._router = router
        self._failures = failures
        self._in_a_row: Counter[str] = Counter()

    def succeeded(self, source: str) -> None:
        """Note an answer."""
        self._in_a_row.pop(source, None)

    async def outage(self, source: str) -> bool:
        """Note a call without an answer; return whether the whole system is away."""
        self._in_a_row[source] += 1
        if self._in_a_row[source] < self._failures:
            return False
        return not await self.healthy(source)

    async def healthy(self, source: str) -> bool:
        """Ask an integration whether its external system answers."""
        with suppress(CallFailed, TimeoutError):
            async with asyncio.timeout(_HEALTH_SECONDS):
                health = await self._router.call_async(source, "health")
            return isinstance(health, Health) and health.ok
        return False
