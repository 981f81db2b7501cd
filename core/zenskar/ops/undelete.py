"""Undelete a record, and link it with its external objects that still live."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings, records
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import NewEntry
from zenskar.errors import CallFailed, FailureKind, NotFound, StateConflict
from zenskar.kernel import Outcome
from zenskar.model.actor import Actor
from zenskar.model.envelope import OUTBOUND
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.operator_action import ActionKind
from zenskar.model.record import ExternalMapping, Record
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.audit import AuditEntry
from zenskar.sync import fanout
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import Cause, RecordChange
from zenskar.sync.outcome_history import broadcast, describe
from zenskar.sync.reconcile.publisher import NotRead, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, Snapshot
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork


class LinkState(StrEnum):
    """The result for the link with an external object."""

    LINKED = "linked"
    """The object lives, and is linked with the record again."""
    RECREATED = "recreated"
    """The object is proven deleted, so a new object is created."""
    NOT_VISIBLE = "not_visible"
    """The credentials do not show the object, so nothing is done at this connection."""
    MERGED = "merged"
    """The object was merged into another object, so no new object is created."""


@dataclass(frozen=True, slots=True)
class RestoredLink:
    """An external object that the record had, and the result for its link."""

    source_system: str
    external_id: str
    state: LinkState


@dataclass(frozen=True, slots=True)
class _Restored:
    """A link, and the merge of the record with its living object."""

    link: RestoredLink
    work: UnitOfWork
    seen: Observation | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Undeleter:
    """Undeletes records. Each object is fetched first: only a living object is linked again."""

    context: SyncContext
    accounts: AccountCheck
    reader: ExternalReader
    publisher: SnapshotPublisher

    async def undelete(
        self, entity_type: str, record_id: str, by: Actor, correlation_id: str
    ) -> list[RestoredLink]:
        """Undelete a record and queue the change for every connection.

        Raises `NotFound`, `StateConflict` when the record is not deleted, was erased, or has an
        object that cannot be linked, and `CallFailed` when an external system does not answer.
        Nothing is changed then.
        """
        await in_transaction(self.context.engine, lambda c: _deleted(c, entity_type, record_id))
        former: dict[str, tuple[ExternalMapping, Snapshot | None]] = {}
        for source in self.context.router.owners_of(entity_type):
            known = await self._last_mapping(source, entity_type, record_id)
            if known is not None:
                former[source] = known, await self._fetch(source, entity_type, known.external_id)

        async def undelete(db: AsyncConnection) -> list[_Restored]:
            alive = _alive(await _deleted(db, entity_type, record_id))
            await self._check_unlinked(db, entity_type, record_id, former)
            await records.update(db, entity_type, [alive])
            restored = [
                await self._revive(db, source, entity_type, *former[source])
                for source in sorted(former)
            ]
            detail: HistoryDetail = {**by.detail, "record_version": alive.version}
            causes = await self._enqueue(db, entity_type, record_id, detail, correlation_id)
            for one in restored:
                await self._note_merge(db, record_id, one, causes[one.link.source_system])
            states = {one.link.source_system: one.link.state.value for one in restored}
            entry = AuditEntry(ActionKind.UNDELETE, by, record_id, result={"links": states})
            await entry.write(db)
            return restored

        restored = await in_transaction(self.context.engine, undelete)
        self.context.wake(OUTBOUND)
        self._count_conflicts(restored)
        return [one.link for one in restored]

    async def _last_mapping(
        self, source: str, entity_type: str, record_id: str
    ) -> ExternalMapping | None:
        """Return the last mapping of the record, if any."""
        found = await in_transaction(
            self.context.engine,
            lambda c: mappings.around(c, source, entity_type, (), [record_id]),
        )
        return found[0].mapping if found else None

    async def _check_unlinked(
        self, db: AsyncConnection, entity_type: str, record_id: str, former: Collection[str]
    ) -> None:
        """Raise `StateConflict` when the answer to a create has linked the record meanwhile."""
        for source in self.context.router.owners_of(entity_type):
            known = source in former
            if not known and await mappings.around(db, source, entity_type, (), [record_id]):
                raise StateConflict(f"an object of {source} was linked meanwhile: try again")

    async def _fetch(self, source: str, entity_type: str, external_id: str) -> Snapshot | None:
        """Fetch an object of the connection's own account; None when it is not visible."""
        if not await self.accounts.confirm(source):
            raise StateConflict(f"the connection {source} is connected to another account")
        try:
            return await self.reader.fetch(source, entity_type, external_id)
        except CallFailed as error:
            if error.failure.kind is not FailureKind.NOT_VISIBLE:
                raise
            return None

    async def _revive(
        self,
        db: AsyncConnection,
        source: str,
        entity_type: str,
        known: ExternalMapping,
        snapshot: Snapshot | None,
    ) -> _Restored:
        """Link an object that lives with the record again, or release one that is deleted."""
        work = await work_storage.load(
            db,
            self.context.connections[source],
            entity_type,
            external_ids=[known.external_id],
        )
        if work.mappings[known.external_id].revision != known.revision:
            raise StateConflict(f"{known.external_id} of {source} changed meanwhile: try again")
        seen: Observation | None = None
        outcome: Outcome | None = None
        if snapshot is None:
            state = LinkState.NOT_VISIBLE
        elif snapshot.seen.merged_into is not None:
            work.note_merge(known.external_id, snapshot.seen.merged_into)
            state = LinkState.MERGED
        elif snapshot.seen.data is None:
            work.release(known.external_id)
            state = LinkState.RECREATED
        else:
            revived = work.revive(known.external_id)
            seen = self._seen(source, revived, snapshot)
            _, outcome = work.observe(seen)
            state = LinkState.LINKED
        await work_storage.flush(db, work)
        return _Restored(RestoredLink(source, known.external_id, state), work, seen, outcome)

    async def _note_merge(
        self, db: AsyncConnection, record_id: str, restored: _Restored, cause: Cause
    ) -> None:
        """Record how the edits of a living object were merged, and the values that lost."""
        work, seen, outcome = restored.work, restored.seen, restored.outcome
        if seen is None or outcome is None:
            return
        detail: HistoryDetail = {
            **describe(work, record_id, seen, outcome),
            **broadcast(self.context.broadcaster, work, record_id, outcome, cause),
        }
        await sync_events.note(db, [NewEntry(cause.event_id, SyncStatus.PENDING, detail)])
        if outcome.conflicts:
            await sync_events.mark(db, cause.event_id, sync_events.CONFLICT)

    def _count_conflicts(self, restored: Sequence[_Restored]) -> None:
        for one in restored:
            for conflict in one.outcome.conflicts if one.outcome else ():
                source, winner = one.link.source_system, conflict.winner.value
                self.context.metrics.conflicts.labels(source, winner).inc()

    def _seen(self, source: str, known: ExternalMapping, snapshot: Snapshot) -> Observation:
        """Return the observation of a living object, whatever record id it carries."""
        seen = self.publisher.observation(source, snapshot, ObservationKind.FETCH, known.revision)
        if isinstance(seen, NotRead):
            raise StateConflict(f"the object {known.external_id} of {source} cannot be read")
        return replace(seen, record_id=None)

    async def _enqueue(
        self,
        db: AsyncConnection,
        entity_type: str,
        record_id: str,
        detail: HistoryDetail,
        correlation_id: str,
    ) -> Mapping[str, Cause]:
        """Queue the record as it is now, and return the cause of each connection's event."""
        record = (await records.lock(db, entity_type, [record_id]))[record_id]
        change = RecordChange.of(entity_type, record, fanout.UNDELETED, correlation_id, by=detail)
        sources: Sequence[str] = self.context.router.owners_of(entity_type)
        event_ids = await fanout.enqueue(db, [(change, source) for source in sources])
        fanout.announce_change(self.context.broadcaster, change)
        return {
            source: Cause(correlation_id, event_id)
            for source, event_id in zip(sources, event_ids, strict=True)
        }


async def _deleted(db: AsyncConnection, entity_type: str, record_id: str) -> Record:
    known: Mapping[str, Record] = await records.lock(db, entity_type, [record_id])
    record = known.get(record_id)
    if record is None:
        raise NotFound(f"there is no {entity_type} with this id")
    if not record.deleted:
        raise StateConflict(f"the {entity_type} is not deleted")
    if record.erased:
        raise StateConflict(f"the {entity_type} was erased, which cannot be undone")
    return record


def _alive(record: Record) -> Record:
    return Record(record.id, record.fields, record.version + 1, record.updated_at)
