"""Distinguish an outage of an external system from a failure of one record.

After some failed calls in a row the integration is asked for its health. If that is bad too, the
connection is paused without using up an attempt. Otherwise only the record fails. The count is
kept during the pause: the first failed call after it pauses again, until a call is answered.

A call during which this process stood still says nothing about the external system: it does not
count.
"""

from collections import Counter
from collections.abc import Mapping

from zenskar.errors import CallFailed, Failure
from zenskar.model.integration import Health
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.invoker import PluginInvoker

OUTAGE = "outage"
_HEALTH_SECONDS = 10.0
_MANY = 2
"""So many times the limit of different records in a row is an outage, whatever the health."""

_QUESTIONS = 2
"""So often is the health asked for, if this process stood still during the first call."""


class CircuitBreaker:
    """Counts failed calls in a row by source system, in this process."""

    def __init__(
        self, invoker: PluginInvoker, connections: Mapping[str, ConfiguredConnection]
    ) -> None:
        self._invoker = invoker
        self._connections = connections
        self._in_a_row: dict[str, Counter[str]] = {}
        self._last: dict[str, Failure] = {}

    def succeeded(self, source: str) -> None:
        """Count an answered call."""
        self._in_a_row.pop(source, None)
        self._last.pop(source, None)

    async def outage(self, source: str, record_id: str, failure: Failure) -> bool:
        """Count a failed call; return whether the whole external system is unavailable.

        The one failure of a call for several records counts once. Failures of many different
        records are an outage, whatever the health check returns.
        """
        if failure.stalled:
            return False
        failures = self._connections[source].settings.breaker_failures
        failed = self._in_a_row.setdefault(source, Counter())
        if len(failed) < _MANY * failures and self._last.get(source) is not failure:
            failed[record_id] += 1
        self._last[source] = failure
        if failed.total() < failures:
            return False
        return len(failed) >= _MANY * failures or not await self.healthy(source)

    async def healthy(self, source: str) -> bool:
        """Return whether an external system answers, as its integration reports."""
        for _ in range(_QUESTIONS):
            try:
                answer = await self._invoker.call(source, "health", Health, seconds=_HEALTH_SECONDS)
            except CallFailed as error:
                if error.failure.stalled:
                    continue
                return False
            return answer.value.ok
        return False
