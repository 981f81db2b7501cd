"""Load units of work under locks, and write their parts."""

from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import duplicates, intents, mappings, personal_data, records
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.db.intents import Lifetimes
from zenskar.ids import is_id
from zenskar.model.observation import Observation
from zenskar.model.record import ExternalMapping
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.sync import fanout
from zenskar.sync.clocks import stored_offset
from zenskar.sync.fanout import LookRequest
from zenskar.sync.work.unit_of_work import PendingWrites, UnitOfWork


async def load(
    db: AsyncConnection,
    source: ConfiguredConnection,
    entity_type: str,
    *,
    seen: Sequence[Observation] = (),
    external_ids: Iterable[str] = (),
    record_ids: Iterable[str] = (),
) -> UnitOfWork:
    """Lock and load the state of these external objects and records, and of observed ones.

    Observed objects without a mapping may match records by their values, where the connection is
    configured so.

    The locks are always acquired in one order, so that no two transactions deadlock: first the
    names of unknown external objects, then the records. The successors of merged objects are loaded
    too.
    """
    name = source.connection.name
    work = UnitOfWork(source, entity_type)
    if source.merge_policy.compares_clocks:
        work.ahead = (await stored_offset(db, source)).high
    wanted = {i for i in (*record_ids, *(o.record_id for o in seen if o.record_id)) if is_id(i)}
    external = {*external_ids, *(name for o in seen for name in o.names)}
    if external:
        owners = await _owners(db, name, entity_type, external)
        wanted |= {owner for owner in owners.values() if owner is not None}
        unknown = [o for o in seen if o.external_id not in owners and work.search.is_matched(o)]
        wanted |= await work.search.find(db, entity_type, unknown)
    work.records = await records.lock(db, entity_type, wanted)
    if absent := wanted - work.records.keys():
        # Two objects may name one record that does not exist yet: the first creates it.
        await mappings.lock_names(db, "", entity_type, absent)
        work.records |= await records.lock(db, entity_type, absent)
    found = await mappings.around(db, name, entity_type, external, work.records)
    for mapping, about in found:
        work.add_mapping(mapping, about)
    successors = {m.merged_into for m in work.mappings.values() if m.merged_into is not None}
    if more := successors - external:
        # Locks out of order: the database ends a deadlock, and the transaction is repeated.
        more |= external
        return await load(db, source, entity_type, seen=seen, external_ids=more, record_ids=wanted)
    if work.records:
        found_intents = await intents.open_intents(
            db,
            name,
            entity_type,
            work.records,
            origins=[o.origin_key for o in seen if o.origin_key],
            lifetimes=_lifetimes(source),
        )
        work.intents, work.lapsed = found_intents.by_record, found_intents.lapsed
    return work


async def flush(db: AsyncConnection, work: UnitOfWork) -> None:
    """Write the records, mappings and pushes of a unit.

    The next unit of the transaction is loaded after that, because two units may share a record.
    """
    name, entity_type = work.name, work.entity_type
    pending, work.pending = work.pending, PendingWrites()
    created = [work.records[i] for i in sorted(pending.created)]
    changed = [work.records[i] for i in sorted(pending.changed - pending.created)]
    saved = [work.mappings[i] for i in sorted(pending.mapped)]
    # Tombstones first: a record may have moved to another object, and has one live mapping.
    saved.sort(key=lambda mapping: mapping.active)
    await records.insert(db, entity_type, created)
    await records.update(db, entity_type, changed)
    versions = [(mapping, _synced_version(work, mapping)) for mapping in saved]
    await mappings.save(db, name, entity_type, versions, work.carried)
    for state in set(pending.settled.values()):
        await intents.set_state(db, [i for i, s in pending.settled.items() if s is state], state)
    if pending.restored:
        await mappings.want_looks(db, name, entity_type, pending.restored)
    if pending.purged:
        await personal_data.request_erasure(db, name, pending.purged)


async def store(
    db: AsyncConnection,
    works: Sequence[UnitOfWork],
    moves: Sequence[Transition] = (),
    looks: Sequence[LookRequest] = (),
) -> bool:
    """Write the pushes, history, events and messages of units of work, each kind at once.

    `moves` and `looks` are those of events without a unit. Returns whether messages were enqueued:
    wake the workers then, after the commit.
    """
    parts = [work.follow_ups for work in works]
    await intents.insert(db, [new for part in parts for new in part.new_intents])
    for seconds in {work.lease_seconds for work in works if work.follow_ups.resent}:
        same = (work.follow_ups for work in works if work.lease_seconds == seconds)
        await intents.take(db, [each for part in same for each in part.resent], seconds)
    for event_id, reason in (mark for part in parts for mark in part.marks):
        await sync_events.mark(db, event_id, reason)
    moved = [*moves, *(move for part in parts for move in part.moves)]
    await sync_events.move(db, moved, [note for part in parts for note in part.notes])
    for work in works:
        # Duplicates of this batch are found by their events, so those are written first.
        await _look_at_duplicates(db, work)
    changes = [change for part in parts for change in part.changes]
    wanted = [*looks, *(look for part in parts for look in part.looks)]
    if changes:
        await fanout.enqueue(db, changes)
    if wanted:
        await fanout.enqueue_looks(db, wanted)
    return bool(changes or wanted)


async def _look_at_duplicates(db: AsyncConnection, work: UnitOfWork) -> None:
    """Request a fetch of every duplicate of an ended record: it becomes its own record."""
    follow_ups = work.follow_ups
    ended = work.ended & follow_ups.causes.keys()
    if not ended:
        return
    found = await duplicates.of_records(db, work.name, work.entity_type, ended)
    for record_id, external_id in found:
        follow_ups.look(external_id, follow_ups.causes[record_id])


def _synced_version(work: UnitOfWork, mapping: ExternalMapping) -> int | None:
    """Return the version of the record that its object shows, None if it shows another."""
    record = work.records.get(mapping.entity_id or "")
    if record is None or not mapping.active:
        return None
    if work.coverage is None:
        return record.version if mapping.base == record.fields else None
    return record.version if work.coverage.shows(record.fields, mapping.base) else None


async def _owners(
    db: AsyncConnection, name: str, entity_type: str, external_ids: set[str]
) -> dict[str, str | None]:
    known = await mappings.owners(db, name, entity_type, external_ids)
    unknown = external_ids - known.keys()
    if unknown:
        await mappings.lock_names(db, name, entity_type, unknown)
        # Another transaction may have created them while this one waited for the names.
        known |= await mappings.owners(db, name, entity_type, unknown)
    return known


def _lifetimes(source: ConfiguredConnection) -> Lifetimes:
    integration = source.integration
    key = integration.idempotency_key_lifetime
    return Lifetimes(
        key_seconds=key.total_seconds() if key is not None else 0.0,
        request_seconds=integration.request_lifetime.total_seconds(),
    )
