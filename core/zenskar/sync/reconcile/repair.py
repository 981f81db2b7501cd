"""Repair drift through the normal paths: inbound events to the catalog, pushes to the system."""

from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import in_transaction
from zenskar.ids import new_id
from zenskar.kernel import is_former
from zenskar.model.envelope import OUTBOUND
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
from zenskar.sync.reconcile.repair_action import RepairAction
from zenskar.sync.reconcile.wait import EventWaiter
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork


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
            and (drift.inward or drift.repair(missing) is RepairAction.DELETE_HERE)
        ]
        published = await self._publisher.publish(
            source, snapshots, ObservationKind.FETCH, correlation_id
        )
        await self._waiter.wait(source, published.event_ids, correlation_id)
        pushes = [drift for drift in findings.drifts if drift.outward]
        if pushes or released:
            await self._push(source, entity_type, pushes, released, correlation_id)
            await self._waiter.wait(source, (), correlation_id)

    def _deleted(self, entity_type: str, external_id: str) -> Snapshot:
        """Return the snapshot of an object that an operator declares deleted."""
        now = int(self._context.clock() * MICROSECONDS)
        return Snapshot(ExternalObject(entity_type, external_id, None), Interval(now, now))

    async def _push(
        self,
        source: str,
        entity_type: str,
        pushes: Sequence[Drift],
        released: Sequence[Drift],
        correlation_id: str,
    ) -> None:
        """Request pushes; a released record gets a new object by the same transaction."""
        connected = self._context.connections[source]
        wanted = {d.record_id for d in (*pushes, *released) if d.record_id is not None}
        external_ids = [drift.external_id for drift in released if drift.external_id is not None]

        async def enqueue(db: AsyncConnection) -> None:
            work = await work_storage.load(
                db, connected, entity_type, external_ids=external_ids, record_ids=wanted
            )
            _release(work, external_ids)
            await work_storage.flush(db, work)
            changes = [
                RecordChange.of(entity_type, work.records[each], fanout.RESYNC, correlation_id)
                for each in sorted(wanted & work.records.keys())
            ]
            await fanout.enqueue(db, [(change, source) for change in changes])

        await in_transaction(self._context.engine, enqueue)
        self._context.wake(OUTBOUND)


def _release(work: UnitOfWork, external_ids: Iterable[str]) -> None:
    """Release the missing objects of living records, so that new objects are created."""
    for external_id in external_ids:
        mapping = work.mappings.get(external_id)
        record = work.records.get(mapping.entity_id or "") if mapping else None
        linked = mapping is not None and (mapping.active or is_former(mapping))
        if linked and record and not record.deleted:
            work.release(external_id)
