"""Repair drift through the normal paths: inbound events to the catalog, pushes to the system."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import records
from zenskar.db.driver.engine import in_transaction
from zenskar.ids import new_id
from zenskar.model.envelope import OUTBOUND
from zenskar.model.fields import SHAPES, unflatten
from zenskar.model.integration import ExternalObject
from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.model.missing import Missing
from zenskar.model.observation import ObservationKind
from zenskar.sync import fanout
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import RecordChange
from zenskar.sync.reconcile.comparator import Findings
from zenskar.sync.reconcile.drift import Drift
from zenskar.sync.reconcile.publisher import SnapshotPublisher
from zenskar.sync.reconcile.reader import Snapshot
from zenskar.sync.reconcile.wait import EventWaiter
from zenskar.sync.work import work_storage


class Repairer:
    """Queues repairs for the workers, and waits for the workers."""

    def __init__(
        self, context: SyncContext, publisher: SnapshotPublisher, waiter: EventWaiter
    ) -> None:
        self._context = context
        self._publisher = publisher
        self._waiter = waiter

    async def repair(
        self, source: str, entity_type: str, findings: Findings, missing: Missing | None
    ) -> None:
        """Repair drift, and return when the workers have finished or have stopped.

        Inbound events go first: an earlier push could overwrite an edit that was not yet applied.
        Raises `Unavailable` when the bus or the database is.
        """
        correlation_id = new_id()
        recreates = missing is Missing.RECREATE
        released = [drift for drift in findings.drifts if drift.vanished and recreates]
        snapshots = [
            self._deleted(entity_type, drift.external_id)
            if drift.hidden
            else findings.snapshots[drift.external_id]
            for drift in findings.drifts
            if drift.external_id is not None
            and drift not in released
            and (drift.inward or (drift.hidden and missing is Missing.DELETE))
        ]
        published = await self._publisher.publish(
            source, snapshots, ObservationKind.FETCH, correlation_id
        )
        await self._waiter.wait(source, published.event_ids, correlation_id)
        pushes = [drift for drift in findings.drifts if drift.outward]
        if released:
            await self._release(source, entity_type, released)
            pushes += released
        if pushes:
            await self._push(source, entity_type, pushes, correlation_id)
            await self._waiter.wait(source, (), correlation_id)

    def _deleted(self, entity_type: str, external_id: str) -> Snapshot:
        """Return the snapshot of an object that an operator declares deleted."""
        now = int(self._context.clock() * MICROSECONDS)
        return Snapshot(ExternalObject(entity_type, external_id, None), Interval(now, now))

    async def _release(self, source: str, entity_type: str, drifts: Sequence[Drift]) -> None:
        """Release the missing objects of living records, so that new objects are created."""
        connected = self._context.connections[source]
        external_ids = [drift.external_id for drift in drifts if drift.external_id is not None]

        async def release(db: AsyncConnection) -> None:
            known = await work_storage.load(db, connected, entity_type, external_ids=external_ids)
            for external_id in external_ids:
                mapping = known.mappings.get(external_id)
                record = known.records.get(mapping.entity_id or "") if mapping else None
                if mapping and mapping.active and record and not record.deleted:
                    known.detach(record.id)
            await known.flush(db)

        await in_transaction(self._context.engine, release)

    async def _push(
        self, source: str, entity_type: str, drifts: Sequence[Drift], correlation_id: str
    ) -> None:
        async def enqueue(db: AsyncConnection) -> None:
            wanted = [drift.record_id for drift in drifts if drift.record_id is not None]
            known = await records.lock(db, entity_type, wanted)
            changes = [
                RecordChange(
                    entity_type=entity_type,
                    record_id=record.id,
                    version=record.version,
                    action=fanout.RESYNC,
                    document=None
                    if record.deleted
                    else unflatten(SHAPES[entity_type], record.fields),
                    correlation_id=correlation_id,
                )
                for record in known.values()
            ]
            await fanout.enqueue(db, [(change, source) for change in changes])

        await in_transaction(self._context.engine, enqueue)
        self._context.wake(OUTBOUND)
