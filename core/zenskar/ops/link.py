"""Link an external object with the record that a person chooses."""

from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import mappings
from zenskar.db.connections import PAUSED_BY_OPERATOR
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import look_events, sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.errors import CallFailed, FailureKind, InvalidInput, NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.kernel import Verdict, is_former
from zenskar.model.actor import Actor
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.operator_action import ActionKind
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.audit import AuditEntry
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import AMBIGUOUS_MATCH
from zenskar.sync.reconcile.checkpoint import check_ready
from zenskar.sync.reconcile.comparator import Comparator
from zenskar.sync.reconcile.field_fate import FieldFate, fates_of
from zenskar.sync.reconcile.publisher import NotRead, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, Snapshot
from zenskar.sync.reconcile.wait import EventWaiter
from zenskar.sync.work.unit_of_work import UnitOfWork

LINKED = "linked"
"""The reason of a dead letter whose object a person has linked."""


@dataclass(frozen=True, slots=True)
class ObjectLink:
    """A link that is planned or done: the ids, and the fate of each field that differs.

    `outside`: the record does not pass the filter of the connection, so nothing travels yet.
    `dead_letters` is the number of dead letters that the link ends.
    """

    source_system: str
    external_id: str
    record_id: str
    creates_record: bool
    fields: dict[str, FieldFate]
    done: bool = False
    outside: bool = False
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class ObjectLinker:
    """Links objects by events that name the chosen record, as if the object carried its id."""

    context: SyncContext
    accounts: AccountCheck
    reader: ExternalReader
    comparator: Comparator
    publisher: SnapshotPublisher
    waiter: EventWaiter

    async def link(
        self,
        source: str,
        entity_type: str,
        external_id: str,
        record_id: str | None,
        by: Actor,
        *,
        dry_run: bool = False,
    ) -> ObjectLink:
        """Fetch an unlinked object, and link it with a free record, or with a new one for None.

        A repeat ends the dead letters of an object that is linked with the record already.
        Raises `NotFound` without such a record or such an object, `InvalidInput` when the external
        system refuses the id, `StateConflict` when the object or the record is not free,
        `CallFailed` when the call fails, and the errors of `check_ready`. Nothing is changed then.
        """
        allowed = (PAUSED_BY_OPERATOR,)
        await check_ready(self.context, self.accounts, source, entity_type, allowed=allowed)
        snapshot = await self._fetch(source, entity_type, external_id)
        if snapshot.seen.data is None:
            raise StateConflict(f"the object {external_id} of {source} is deleted")
        chosen = record_id or new_id()
        named = Snapshot(replace(snapshot.seen, record_id=chosen), snapshot.asof)
        (link,) = await self.comparator.dry_run(
            source,
            entity_type,
            [named],
            lambda work, seen: preview(work, seen, is_new=record_id is None),
        )
        if isinstance(link, NotRead):
            raise StateConflict(f"the object {external_id} of {source} cannot be read: {link.why}")
        if dry_run:
            dead = await in_transaction(self.context.engine, lambda c: _dead(c, entity_type, link))
            return replace(link, dead_letters=len(dead))
        if not link.done:
            await self._publish(source, entity_type, named)
        await self.context.failpoint("link.applied")
        ended = await in_transaction(
            self.context.engine, lambda c: self._settle(c, source, entity_type, link, by)
        )
        return replace(link, done=True, dead_letters=ended)

    async def _fetch(self, source: str, entity_type: str, external_id: str) -> Snapshot:
        try:
            return await self.reader.fetch(source, entity_type, external_id)
        except CallFailed as error:
            # The caller chose the id: it may be mistyped.
            if error.failure.kind is FailureKind.NOT_VISIBLE:
                raise NotFound(f"{source} shows no object with the id {external_id}") from error
            if error.failure.kind is FailureKind.REJECTED:
                raise InvalidInput(f"{source} refuses the id {external_id}") from error
            raise

    async def _publish(self, source: str, entity_type: str, named: Snapshot) -> None:
        run_id, kind = new_id(), ObservationKind.FETCH
        published = await self.publisher.publish(source, [named], kind, run_id)
        await self.context.failpoint("link.published")
        await self.waiter.wait(source, published.event_ids)
        external_id = named.seen.external_id
        owners = await in_transaction(
            self.context.engine,
            lambda c: mappings.owners(c, source, entity_type, [external_id]),
        )
        if owners.get(external_id) != named.seen.record_id:
            raise StateConflict(
                f"{external_id} of {source} was not linked, since either side has changed: "
                "see `zenskar events list`, then try again"
            )

    async def _settle(
        self, db: AsyncConnection, source: str, entity_type: str, link: ObjectLink, by: Actor
    ) -> int:
        """End the dead letters that asked for this decision, and return their number."""
        dead = await _dead(db, entity_type, link)
        ended = [
            Transition(
                event_id, SyncStatus.IGNORED, LINKED, detail=by.detail, entity_id=link.record_id
            )
            for event_id in dead
        ]
        await sync_events.move(db, ended)
        result = {"source": source, "external_id": link.external_id, "dead_letters": len(dead)}
        await AuditEntry(ActionKind.LINK, by, link.record_id, result=result).write(db)
        return len(dead)


async def _dead(db: AsyncConnection, entity_type: str, link: ObjectLink) -> list[str]:
    """Lock the dead letters that ask for the decision about an object; return their ids."""
    source, external_id = link.source_system, link.external_id
    return await look_events.dead(db, source, entity_type, external_id, AMBIGUOUS_MATCH)


def preview(work: UnitOfWork, seen: Observation, *, is_new: bool = False) -> ObjectLink:
    """Return the effect of linking an object with the record that it names, in memory only.

    The link is done if an earlier run, which was interrupted, has made it.
    Raises `NotFound` without such a record, and `StateConflict` unless both sides are free.
    """
    record_id = seen.record_id or ""
    if (known := work.mappings.get(seen.external_id)) is not None:
        linked = known.active or is_former(known)
        if linked and known.entity_id == record_id:
            outside = work.is_outside(record_id)
            link = ObjectLink(work.name, seen.external_id, record_id, is_new, {}, done=True)
            return replace(link, outside=outside)
        state = f"linked with record {known.entity_id}" if linked else "deleted or released"
        raise StateConflict(f"{seen.external_id} of {work.name} is {state}")
    record = work.records.get(record_id)
    if record is None and not is_new:
        raise NotFound(f"there is no {work.entity_type} with the id {record_id}")
    if record is not None and record.deleted:
        raise StateConflict(f"the {work.entity_type} {record_id} is deleted")
    if record_id in work.by_record:
        other = work.by_record[record_id].external_id
        raise StateConflict(f"{record_id} already has the object {other} of {work.name}")
    if work.has_open_create(record_id):
        raise StateConflict(f"a create of {record_id} at {work.name} is not answered: try again")
    if is_new and not work.filtered.admits_new(seen):
        raise StateConflict(f"the filter of {work.name} excludes {seen.external_id}")
    _, outcome = work.observe(seen)
    outside = outcome.verdict is Verdict.OUTSIDE
    known_fields = {} if record is None or outside else work.pushed(record_id).fields
    fates = {} if record is None or outside else fates_of(outcome, known_fields)
    link = ObjectLink(work.name, seen.external_id, record_id, is_new, fates)
    return replace(link, outside=outside)
