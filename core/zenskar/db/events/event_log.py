"""Sync events and their history: reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Row, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.schema.tables import sync_event_history, sync_events
from zenskar.ids import bound
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.sync_event import Direction, SyncStatus

GAP = "…"
"""Stands for any characters in the text of a failure."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A selection of sync events; None selects all. Ages are since the last change, in seconds.

    `unchanged` selects events by their ids and the times of their last changes. `since` and `until`
    are about the time of their creation. `error` is the text of the failure, where `…` stands for
    any characters.
    """

    status: SyncStatus | None = None
    source: str | None = None
    direction: Direction | None = None
    customer_id: str | None = None
    reason: str | None = None
    ids: Sequence[str] | None = None
    error_kind: str | None = None
    event_type: str | None = None
    older_than: float | None = None
    newer_than: float | None = None
    unchanged: Sequence[tuple[str, datetime]] | None = None
    correlation_id: str | None = None
    external_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A sync event without its payload."""

    id: str
    direction: str
    source_system: str
    entity_type: str | None
    entity_id: str | None
    external_id: str | None
    event_type: str
    external_event_id: str | None
    correlation_id: str
    causation_id: str | None
    status: str
    reason: str | None
    attempts: int
    next_attempt_at: datetime | None
    error_kind: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A transition of a sync event."""

    at: datetime
    status: str
    detail: HistoryDetail


_COLUMNS = [sync_events.c[name] for name in LoggedEvent.__dataclass_fields__]


async def read(db: AsyncConnection, event_id: str) -> LoggedEvent | None:
    """Return a sync event, None without one."""
    statement = select(*_COLUMNS).where(sync_events.c.id == event_id)
    row = (await db.execute(statement)).one_or_none()
    return None if row is None else _event(row)


async def payload(db: AsyncConnection, event_id: str) -> str | None:
    """Return the stored message of a sync event as text, None without one."""
    statement = select(sync_events.c.payload).where(sync_events.c.id == event_id)
    found: str | None = await db.scalar(statement)
    return found


async def history(db: AsyncConnection, event_id: str) -> list[HistoryEntry]:
    """Return the transitions of a sync event, oldest first."""
    entries = sync_event_history.c
    statement = select(entries.at, entries.status, entries.detail)
    rows = await db.execute(statement.where(entries.event_id == event_id).order_by(entries.id))
    return [
        HistoryEntry(row.at, row.status, orjson.loads(row.detail) if row.detail else {})
        for row in rows
    ]


def conditions(wanted: EventFilter, columns: Any = sync_events.c) -> list[ColumnElement[bool]]:
    """Return the SQL conditions of a filter, on the columns of the table or of its rows."""
    pairs = (
        (columns.status, wanted.status),
        (columns.source_system, wanted.source),
        (columns.direction, wanted.direction),
        (columns.entity_id, wanted.customer_id),
        (columns.reason, wanted.reason),
        (columns.error_kind, wanted.error_kind),
        (columns.event_type, wanted.event_type),
        (columns.correlation_id, wanted.correlation_id),
        (columns.external_id, wanted.external_id),
    )
    found = [column == str(value) for column, value in pairs if value is not None]
    if wanted.customer_id is not None:
        found.append(columns.entity_type == "customer")
    if wanted.ids is not None:
        found.append(columns.id.in_(wanted.ids))
    if wanted.unchanged is not None:
        found.append(tuple_(columns.id, columns.updated_at).in_(wanted.unchanged))
    if wanted.older_than is not None:
        found.append(columns.updated_at < _ago(wanted.older_than))
    if wanted.newer_than is not None:
        found.append(columns.updated_at >= _ago(wanted.newer_than))
    # An id begins with the time of its creation.
    if wanted.since is not None:
        found.append(columns.id >= bound(wanted.since))
    if wanted.until is not None:
        found.append(columns.id < bound(wanted.until))
    if wanted.error is not None:
        found.append(columns.error_message.like(_pattern(wanted.error), escape="\\"))
    return found


def _pattern(text: str) -> str:
    """Return the pattern of LIKE for a text with gaps."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return text.replace(GAP, "%")


def _ago(seconds: float) -> ColumnElement[datetime]:
    return func.now() - timedelta(seconds=seconds)


def _event(row: Row[Any]) -> LoggedEvent:
    return LoggedEvent(**row._mapping)  # noqa: SLF001 - the public name of this in SQLAlchemy
