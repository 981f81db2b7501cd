"""Tell an outage of an external system from trouble with one record.

After some failed calls in a row the integration is asked for its health. If that is bad too, the
connection is paused and no attempt is used up; otherwise the record alone is in trouble. The
count outlives the pause: the first failed call after it pauses again, until one is answered.
"""

from collections import Counter
from collections.abc import Mapping

from zenskar.errors import CallFailed
from zenskar.model.integration import Health
from zenskar.plugins.discovery import ConfiguredConnection
from zenskar.plugins.invoker import PluginInvoker

OUTAGE = "outage"
_HEALTH_SECONDS = 10.0
_MANY = 2
"""So many times the limit of different records in a row are no trouble with one record."""


class CircuitBreaker:
    """Counts failed calls in a row, by source system, in this process."""

    def __init__(
        self, invoker: PluginInvoker, connections: Mapping[str, ConfiguredConnection]
    ) -> None:
        self._invoker = invoker
        self._connections = connections
        self._in_a_row: dict[str, Counter[str]] = {}

    def succeeded(self, source: str) -> None:
        """Note an answer."""
        self._in_a_row.pop(source, None)

    async def outage(self, source: str, record_id: str) -> bool:
        """Note a call without an answer; return whether the whole system is away.

        An answer for none of many records is an outage, whatever its health says.
        """
        failures = self._connections[source].settings.breaker_failures
        failed = self._in_a_row.setdefault(source, Counter())
        if len(failed) < _MANY * failures:
            failed[record_id] += 1
        if failed.total() < failures:
            return False
        return len(failed) >= _MANY * failures or not await self.healthy(source)

    async def healthy(self, source: str) -> bool:
        """Ask an integration whether its external system answers."""
        try:
            answer = await self._invoker.call(source, "health", Health, seconds=_HEALTH_SECONDS)
        except CallFailed:
            return False
        return answer.value.ok
