"""The stored rows of one customer, for reading in causal order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row, Select, and_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections, customers
from zenskar.db.connections import ConnectionChange, ConnectionState
from zenskar.db.customers import Customer
from zenskar.db.events.event_log import HistoryEntry, LoggedEvent
from zenskar.db.mappings import names_of
from zenskar.db.schema.tables import customers as customers_table
from zenskar.db.schema.tables import (
    external_mappings,
    push_intents,
    sync_event_history,
    sync_events,
)
from zenskar.ids import is_id
from zenskar.model.fields import CUSTOMER
from zenskar.model.interval import Interval
from zenskar.model.record import ExternalMapping, MappingState


@dataclass(frozen=True, slots=True)
class CustomerMatch:
    """A customer that matches a search; `external_ids` have the form `source_system:id`."""

    id: str
    name: str | None
    email: str | None
    deleted_at: datetime | None
    external_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimelineMapping:
    """A mapping with its source system and its times."""

    source_system: str
    mapping: ExternalMapping
    synced_version: int | None
    created_at: datetime
    updated_at: datetime
    carried: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class StoredIntent:
    """A stored push with its state."""

    id: str
    source_system: str
    external_id: str | None
    kind: str
    state: str
    changes: dict[str, Any]
    created_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredEvent(LoggedEvent):
    """A sync event; an inbound event has its message."""

    payload: str | None = None


@dataclass(frozen=True, slots=True)
class StoredEntry(HistoryEntry):
    """A transition of one of several events; ids are in the order of writing."""

    id: int
    event_id: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rows of one customer in all tables. `truncated`: older events are left out."""

    customer: Customer
    mappings: tuple[TimelineMapping, ...]
    intents: tuple[StoredIntent, ...]
    events: tuple[StoredEvent, ...]
    entries: tuple[StoredEntry, ...]
    connections: dict[str, ConnectionState]
    pauses: tuple[ConnectionChange, ...]
    truncated: bool = False


_MOST_PAUSES = 100
_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_EVENTS = [sync_events.c[name] for name in StoredEvent.__dataclass_fields__]
_UNRESOLVED = text("state IN ('sent', 'unknown')")  # the predicate of the index
_INTENTS = [push_intents.c[name] for name in StoredIntent.__dataclass_fields__]


async def find(db: AsyncConnection, name: str, *, most: int) -> list[CustomerMatch]:
    """Return the customers with this id, else with this external id, else with this e-mail.

    A deleted customer matches its e-mail only when no other customer has that e-mail.
    """
    table, mapped = customers_table, external_mappings
    of_external = select(mapped.c.entity_id).where(
        mapped.c.entity_type == CUSTOMER.entity_type, mapped.c.external_id == name
    )
    by_email = select(table).where(*customers.has_email(name))
    attempts = [
        select(table).where(table.c.id.in_(of_external)),
        by_email.where(table.c.deleted_at.is_(None)),
        by_email.where(table.c.deleted_at.is_not(None)),
    ]
    if is_id(name):
        attempts.insert(0, select(table).where(table.c.id == name.lower()))
    for attempt in attempts:
        found = await _matches(db, attempt.order_by(table.c.id.desc()).limit(most))
        if found:
            return found
    return []


async def load(db: AsyncConnection, customer_id: str, *, most: int) -> Timeline | None:
    """Return the rows of a customer with its newest events, in one snapshot.

    This must be the first call in a transaction.
    """
    await db.execute(_SNAPSHOT)
    customer = await customers.read(db, customer_id)
    if customer is None:
        return None
    mappings = await _mappings(db, customer_id)
    events = await _events(db, customer_id, mappings, most + 1)
    kept = events[-most:]
    entries = await _entries(db, [event.id for event in kept])
    return Timeline(
        customer,
        mappings,
        await _intents(db, customer_id, entries),
        kept,
        entries,
        await connections.states(db),
        await _pauses(db, mappings, kept),
        truncated=len(events) > most,
    )


async def _pauses(
    db: AsyncConnection, mappings: Sequence[TimelineMapping], events: Sequence[StoredEvent]
) -> tuple[ConnectionChange, ...]:
    """Return the pauses of the customer's connections since the first event."""
    if not events:
        return ()
    names = {m.source_system for m in mappings} | {e.source_system for e in events}
    return await connections.history(db, names, events[0].created_at, _MOST_PAUSES)


async def _matches(db: AsyncConnection, statement: Select[Any]) -> list[CustomerMatch]:
    rows = (await db.execute(statement)).all()
    mapped = external_mappings.c
    links = await db.execute(
        select(mapped.entity_id, mapped.source_system, mapped.external_id)
        .where(mapped.entity_id.in_([row.id for row in rows]))
        .order_by(mapped.source_system, mapped.created_at)
    )
    names: dict[str, tuple[str, ...]] = {}
    for link in links:
        known = names.get(link.entity_id, ())
        names[link.entity_id] = (*known, f"{link.source_system}:{link.external_id}")
    return [CustomerMatch(r.id, r.name, r.email, r.deleted_at, names.get(r.id, ())) for r in rows]


async def _mappings(db: AsyncConnection, customer_id: str) -> tuple[TimelineMapping, ...]:
    mapped = external_mappings.c
    statement = select(external_mappings).where(
        mapped.entity_type == CUSTOMER.entity_type, mapped.entity_id == customer_id
    )
    rows = await db.execute(statement.order_by(mapped.source_system, mapped.created_at))
    return tuple(_mapping(row) for row in rows)


async def _intents(
    db: AsyncConnection, customer_id: str, entries: Sequence[StoredEntry]
) -> tuple[StoredIntent, ...]:
    """Return the pushes without an answer, and the pushes that the history names."""
    columns = push_intents.c
    named = {entry.detail["idempotency_key"] for entry in entries if _has_key(entry)}
    own = select(*_INTENTS).where(
        columns.entity_type == CUSTOMER.entity_type, columns.entity_id == customer_id
    )
    # Two statements: no index serves both conditions together.
    found = {
        row.id: StoredIntent(**{**row._mapping, "changes": orjson.loads(row.changes)})  # noqa: SLF001 - public
        for condition in (columns.id.in_(named), _UNRESOLVED)
        for row in await db.execute(own.where(condition))
    }
    return tuple(sorted(found.values(), key=lambda intent: (intent.created_at, intent.id)))


async def _events(
    db: AsyncConnection,
    customer_id: str,
    mappings: Sequence[TimelineMapping],
    most: int,
) -> tuple[StoredEvent, ...]:
    """Return the events of the record, and the unassigned events of its external objects."""
    columns = sync_events.c
    # A statement for each object: together they would read the index of all unassigned events.
    unplaced = [
        and_(
            columns.entity_id.is_(None),
            columns.source_system == mapping.source_system,
            columns.external_id == mapping.mapping.external_id,
        )
        for mapping in mappings
    ]
    conditions = [columns.entity_id == customer_id, *unplaced]
    found: list[StoredEvent] = []
    for condition in conditions:
        statement = select(*_EVENTS).where(columns.entity_type == CUSTOMER.entity_type, condition)
        rows = await db.execute(statement.order_by(columns.id.desc()).limit(most))
        found += [StoredEvent(**row._mapping) for row in rows]  # noqa: SLF001 - public
    return tuple(sorted(found, key=lambda event: event.id)[-most:])


async def _entries(db: AsyncConnection, event_ids: Sequence[str]) -> tuple[StoredEntry, ...]:
    columns = sync_event_history.c
    statement = select(sync_event_history).where(columns.event_id.in_(event_ids))
    rows = await db.execute(statement.order_by(columns.id))
    return tuple(
        StoredEntry(
            at=row.at,
            status=row.status,
            detail=orjson.loads(row.detail) if row.detail else {},
            id=row.id,
            event_id=row.event_id,
        )
        for row in rows
    )


def _has_key(entry: StoredEntry) -> bool:
    return "idempotency_key" in entry.detail


def _mapping(row: Row[Any]) -> TimelineMapping:
    mapping = ExternalMapping(
        external_id=row.external_id,
        entity_id=row.entity_id,
        base=row.base,
        asof=Interval(row.asof_low, row.asof_high),
        revision=row.revision,
        state=MappingState(row.state),
        fetch_revision=row.fetch_revision,
        detached=row.detached,
        merged_into=row.merged_into,
    )
    return TimelineMapping(
        row.source_system,
        mapping,
        row.synced_version,
        row.created_at,
        row.updated_at,
        names_of(row.carried),
    )
