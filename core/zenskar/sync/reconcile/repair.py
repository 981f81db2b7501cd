"""Mend differences by the ways that every change goes: news inward, pushes outward."""

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
from zenskar.sync import fanout, unit_of_work
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import RecordChange
from zenskar.sync.reconcile.comparator import Findings
from zenskar.sync.reconcile.drift import Drift
from zenskar.sync.reconcile.publisher import SnapshotPublisher
from zenskar.sync.reconcile.reader import Snapshot
from zenskar.sync.reconcile.wait import EventWaiter


class Repairer:
    """Asks the workers to mend, and waits for them."""

    def __init__(
        self, context: SyncContext, publisher: SnapshotPublisher, waiter: EventWaiter
    ) -> None:
        self._context = context
        self._publisher = publisher
        self._waiter = waiter

    async def mend(
        self, source: str, entity_type: str, findings: Findings, missing: Missing | None
    ) -> None:
        """Work on differences until nothing moves any more.

        News first: a push before them could overwrite an edit that nobody here has seen yet.
        """
        correlation_id = new_id()
        recreates = missing is Missing.RECREATE
        released = [drift for drift in findings.drifts if drift.vanished and recreates]
        looks = [
            self._deleted(entity_type, drift.external_id)
            if drift.hidden
            else findings.looks[drift.external_id]
            for drift in findings.drifts
            if drift.external_id is not None
            and drift not in released
            and (drift.inward or (drift.hidden and missing is Missing.DELETE))
        ]
        published = await self._publisher.publish(
            source, looks, ObservationKind.FETCH, correlation_id
        )
        await self._waiter.settled(source, published.event_ids, correlation_id)
        pushes = [drift for drift in findings.drifts if drift.outward]
        if released:
            await self._release(source, entity_type, released)
            pushes += released
        if pushes:
            await self._push(source, entity_type, pushes, correlation_id)
            await self._waiter.settled(source, (), correlation_id)

    def _deleted(self, entity_type: str, external_id: str) -> Snapshot:
        """Return a look at an object that an operator says is deleted."""
        now = int(self._context.clock() * MICROSECONDS)
        return Snapshot(ExternalObject(entity_type, external_id, None), Interval(now, now))

    async def _release(self, source: str, entity_type: str, drifts: Sequence[Drift]) -> None:
        """Let the missing objects of living records go, so that others are made for them."""
        connected = self._context.connections[source]
        external_ids = [drift.external_id for drift in drifts if drift.external_id is not None]

        async def work(db: AsyncConnection) -> None:
            known = await unit_of_work.load(db, connected, entity_type, external_ids=external_ids)
            for external_id in external_ids:
                mapping = known.mappings.get(external_id)
                record = known.records.get(mapping.entity_id or "") if mapping else None
                if mapping and mapping.active and record and not record.deleted:
                    known.detach(record.id)
            await known.flush(db)

        await in_transaction(self._context.engine, work)

    async def _push(
        self, source: str, entity_type: str, drifts: Sequence[Drift], correlation_id: str
    ) -> None:
        async def work(db: AsyncConnection) -> None:
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

        await in_transaction(self._context.engine, work)
        self._context.wake(OUTBOUND)
