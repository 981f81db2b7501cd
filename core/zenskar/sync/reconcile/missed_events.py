"""Poll external systems for events whose webhooks were not delivered."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from zenskar.db import connections, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed
from zenskar.ids import new_id
from zenskar.model.observation import ObservationKind
from zenskar.sync.clocks import stored_offset
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.publisher import SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader
from zenskar.telemetry.logs import get_logger

_OVERLAP = timedelta(minutes=5)
"""For this long after an event, an external system may list it wrongly or not at all."""
_log = get_logger(__name__)


class MissedEventsPoller:
    """Reads the objects whose events may have been missed since the last successful poll."""

    def __init__(
        self,
        context: SyncContext,
        reader: ExternalReader,
        publisher: SnapshotPublisher,
        *,
        every_seconds: float,
    ) -> None:
        self._context = context
        self._reader = reader
        self._publisher = publisher
        self._every = timedelta(seconds=every_seconds)

    @staticmethod
    def schedule(source: str) -> str:
        """Return the name under which a connection's polls are scheduled."""
        return f"sweep_missed:{source}"

    async def run(self, source: str, state: Mapping[str, Any]) -> None:
        """Poll once. Only a successful poll moves the start of the next one forward."""
        states = await in_transaction(self._context.engine, connections.states)
        self._context.backoff.learn(states)
        if self._context.backoff.left(source) or (source in states and states[source].paused):
            return
        started = datetime.fromtimestamp(self._context.clock(), UTC)
        since = state.get("since_there")
        first = (
            datetime.fromisoformat(since)
            if since
            else await self._first_start(source, state, started)
        )
        try:
            found = await self._poll(source, first)
        except CallFailed as error:
            failure = error.failure
            _log.warning(
                "sweep_failed", source=source, kind=failure.kind.value, error=failure.message
            )
            return
        there = started + await self._offset(source)
        left = {"since": started.isoformat(), "since_there": there.isoformat()}
        name = self.schedule(source)
        await in_transaction(self._context.engine, lambda c: schedules.save(c, name, left))
        if found:
            _log.info("sweep_found", source=source, objects=found)

    async def _first_start(
        self, source: str, state: Mapping[str, Any], started: datetime
    ) -> datetime:
        """Return the start of the first poll on the external clock."""
        since = state.get("since")
        ours = datetime.fromisoformat(since) if since else started - self._every
        return ours + await self._offset(source)

    async def _offset(self, source: str) -> timedelta:
        """Return the least time by which the external clock is ahead of ours."""
        connection = self._context.connections[source]
        offset = self._context.clocks.offset(source, self._context.monotonic())
        if offset is None:
            offset = await in_transaction(
                self._context.engine, lambda c: stored_offset(c, connection)
            )
        return timedelta(microseconds=offset.low)

    async def _poll(self, source: str, first: datetime) -> int:
        since, run_id = first - _OVERLAP, new_id()
        cursor, found = None, 0
        while True:
            page = await self._reader.missed_events(source, since, cursor)
            await self._publisher.publish(source, page.snapshots, ObservationKind.FETCH, run_id)
            found += len(page.snapshots)
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor
