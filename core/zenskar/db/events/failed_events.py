"""Failed sync events that are retried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events.event_log import EventFilter, conditions
from zenskar.db.schema.tables import sync_events
from zenskar.model.sync_event import Direction, SyncStatus

RETRYABLE = (SyncStatus.RETRYING, SyncStatus.DEAD)
"""Statuses that may be retried, besides pending events with an error."""


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """The columns from which the message of a sync event is written again."""

    id: str
    direction: Direction
    source_system: str
    entity_type: str | None
    entity_id: str | None
    external_id: str | None
    event_type: str
    correlation_id: str
    causation_id: str | None
    reason: str | None
    payload: str | None


@dataclass(frozen=True, slots=True)
class MessageName:
    """The place of a sync event's message in the outbox, if the message waits."""

    topic: str
    key: str
    event_id: str


_COLUMNS = [sync_events.c[name] for name in FailedEvent.__dataclass_fields__]

_OF_KEYS = text("""
    SELECT id, envelope FROM outbox
    WHERE (topic, key) IN (
        SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[])))
    ORDER BY id FOR UPDATE
""")
_MAKE_DUE = text("""
    UPDATE outbox SET available_at = least(available_at, now())
    WHERE id = ANY(CAST(:ids AS bigint[]))
""")

_RESET = text("UPDATE sync_events SET attempts = 0 WHERE id = ANY(CAST(:ids AS uuid[]))")


async def lock_failed(
    db: AsyncConnection, wanted: EventFilter, *, most: int, after: str | None
) -> list[FailedEvent]:
    """Return failed events, oldest first, locked until the transaction ends."""
    statement = select(*_COLUMNS).where(*_failed(wanted))
    if after is not None:
        statement = statement.where(sync_events.c.id > after)
    statement = statement.order_by(sync_events.c.id).limit(most).with_for_update()
    rows = (await db.execute(statement)).mappings()
    return [failed_event(dict(row)) for row in rows]


async def count_failed(db: AsyncConnection, wanted: EventFilter) -> int:
    """Return the number of failed events that a filter selects."""
    statement = select(func.count()).select_from(sync_events).where(*_failed(wanted))
    return (await db.execute(statement)).scalar_one()


async def make_due(db: AsyncConnection, names: Sequence[MessageName]) -> set[str]:
    """Make delayed messages due now; return the events with a message in the outbox."""
    keys = {"topics": [name.topic for name in names], "keys": [name.key for name in names]}
    rows = await db.execute(_OF_KEYS, keys)
    # The JSON functions of PostgreSQL refuse a NUL, which an envelope may hold.
    there = {row.id: orjson.loads(row.envelope)["id"] for row in rows}
    wanted = {name.event_id for name in names}
    waiting = [row_id for row_id, event_id in there.items() if event_id in wanted]
    await db.execute(_MAKE_DUE, {"ids": waiting})
    return {there[row_id] for row_id in waiting}


async def reset_attempts(db: AsyncConnection, event_ids: Sequence[str]) -> None:
    """Reset the attempts of events."""
    await db.execute(_RESET, {"ids": list(event_ids)})


def _failed(wanted: EventFilter) -> list[ColumnElement[bool]]:
    columns = sync_events.c
    failed = columns.status.in_([status.value for status in RETRYABLE])
    held_back = and_(columns.status == SyncStatus.PENDING.value, columns.error_kind.is_not(None))
    return [*conditions(wanted), or_(failed, held_back)]


def failed_event(values: Mapping[str, Any]) -> FailedEvent:
    """Return an event from a row."""
    return FailedEvent(**{**values, "direction": Direction(values["direction"])})
