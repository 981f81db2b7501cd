"""Undelete a record, and link it with its external objects that still live."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings, records
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, FailureKind, NotFound, StateConflict
from zenskar.model.actor import Actor
from zenskar.model.envelope import OUTBOUND
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.operator_action import ActionKind
from zenskar.model.record import ExternalMapping, Record
from zenskar.ops.audit import AuditEntry
from zenskar.sync import fanout
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import RecordChange
from zenskar.sync.reconcile.publisher import NotRead, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, Snapshot
from zenskar.sync.work import work_storage


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

        async def undelete(db: AsyncConnection) -> list[RestoredLink]:
            record = await _deleted(db, entity_type, record_id)
            await records.update(db, entity_type, [_alive(record)])
            links = [
                await self._revive(db, source, entity_type, *former[source])
                for source in sorted(former)
            ]
            await self._enqueue(db, entity_type, record_id, by, correlation_id)
            states = {link.source_system: link.state.value for link in links}
            entry = AuditEntry(ActionKind.UNDELETE, by, record_id, result={"links": states})
            await entry.write(db)
            return links

        links = await in_transaction(self.context.engine, undelete)
        self.context.wake(OUTBOUND)
        return links

    async def _last_mapping(
        self, source: str, entity_type: str, record_id: str
    ) -> ExternalMapping | None:
        """Return the last mapping of the record, if any."""
        found = await in_transaction(
            self.context.engine,
            lambda c: mappings.around(c, source, entity_type, (), [record_id]),
        )
        return found[0].mapping if found else None

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
    ) -> RestoredLink:
        """Link an object that lives with the record again, or release one that is deleted."""
        work = await work_storage.load(
            db,
            self.context.connections[source],
            entity_type,
            external_ids=[known.external_id],
        )
        if work.mappings[known.external_id].revision != known.revision:
            raise StateConflict(f"{known.external_id} of {source} changed meanwhile: try again")
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
            work.observe(self._seen(source, revived, snapshot))
            state = LinkState.LINKED
        await work_storage.flush(db, work)
        return RestoredLink(source, known.external_id, state)

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
        by: Actor,
        correlation_id: str,
    ) -> None:
        record = (await records.lock(db, entity_type, [record_id]))[record_id]
        change = RecordChange.of(
            entity_type, record, fanout.UNDELETED, correlation_id, by=by.detail
        )
        sources: Sequence[str] = self.context.router.owners_of(entity_type)
        await fanout.enqueue(db, [(change, source) for source in sources])
        fanout.announce_change(self.context.broadcaster, change)


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
