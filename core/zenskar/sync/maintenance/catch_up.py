"""Queue records that were created while the settings of a connection were missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections, records, schedules, unqueued
from zenskar.db.driver.engine import in_transaction
from zenskar.db.reconcile_runs import FIRST_ID
from zenskar.ids import new_id
from zenskar.model.envelope import OUTBOUND
from zenskar.model.fields import SHAPES
from zenskar.sync import fanout
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import RecordChange
from zenskar.telemetry.logs import get_logger

_SCANNED, _SCANS = 500, 20
_SETTLE_SECONDS = 300.0
"""New records are read again for this time: ids are not quite in the order of their commits."""
_log = get_logger(__name__)


class CatchUp:
    """Queues records that were never queued, from the end of the last run on."""

    def __init__(self, context: SyncContext) -> None:
        self._context = context

    @staticmethod
    def schedule(source: str) -> str:
        """Return the name under which a connection's job is scheduled."""
        return f"catch_up:{source}"

    async def run(self, source: str, state: Mapping[str, Any]) -> None:
        """Check the next records of each entity type; the next run continues."""
        states = await in_transaction(self._context.engine, connections.states)
        if source in states and states[source].paused:
            return
        reached, queued = dict(state), 0
        for entity_type in self._context.router.owner(source).entities:
            if entity_type in SHAPES:
                after = reached.get(entity_type) or FIRST_ID
                reached[entity_type], count = await self._scan(source, entity_type, after)
                queued += count
        name = self.schedule(source)
        await in_transaction(self._context.engine, lambda c: schedules.save(c, name, reached))
        if queued:
            self._context.wake(OUTBOUND)
            _log.warning("records_queued", source=source, count=queued)

    async def _scan(self, source: str, entity_type: str, after: str) -> tuple[str, int]:
        """Return the start of the next run, and the number of queued records."""
        settled, queued, last = after, 0, after
        for _ in range(_SCANS):
            seen, count = await in_transaction(
                self._context.engine,
                lambda c, last=last: self._queue(c, source, entity_type, last),  # type: ignore[misc]
            )
            queued += count
            if settled == last:
                settled = seen.settled
            if seen.last is None:
                break
            last = seen.last
        return settled, queued

    async def _queue(
        self, db: AsyncConnection, source: str, entity_type: str, after: str
    ) -> tuple[unqueued.UnqueuedScan, int]:
        seen = await unqueued.scan(
            db,
            source,
            entity_type,
            after,
            most=_SCANNED,
            settle_seconds=_SETTLE_SECONDS,
        )
        changes = await self._changes(db, entity_type, seen.unqueued)
        await fanout.enqueue(db, [(change, source) for change in changes])
        return seen, len(changes)

    async def _changes(
        self, db: AsyncConnection, entity_type: str, ids: Sequence[str]
    ) -> list[RecordChange]:
        known = await records.lock(db, entity_type, ids) if ids else {}
        return [
            RecordChange.of(entity_type, record, fanout.CREATED, new_id())
            for record in known.values()
            if not record.deleted
        ]
