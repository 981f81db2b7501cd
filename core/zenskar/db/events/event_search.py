"""Search sync events in a bounded number of rows, whatever the size of the table.

No index serves most filters, since each index would cost every event. A search reads the newest
rows in the order of the primary key, or of the index of a record or of unfinished events, and stops
after `SCANNED` rows: the next page goes on there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, Text, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events.event_log import EventFilter, LoggedEvent, conditions
from zenskar.db.schema.tables import sync_events
from zenskar.model.sync_event import SyncStatus

SCANNED, COUNTED = 50_000, 10_000
_FINAL = (SyncStatus.SUCCEEDED, SyncStatus.IGNORED)
_GROUPS, LONGEST_TEXT = 1000, 300
_COLUMNS = [sync_events.c[name] for name in LoggedEvent.__dataclass_fields__]


@dataclass(frozen=True, slots=True)
class EventPage:
    """The events of a page, newest first, and the id after which the search goes on.

    `last_id` is None at the end. A page may be short or empty although the search goes on.
    """

    events: Sequence[LoggedEvent]
    last_id: str | None


@dataclass(frozen=True, slots=True)
class FoundEvents(EventPage):
    """A page with the number of all events that match, at most `COUNTED`.

    `total` is not `exact` when there may be more.
    """

    total: int
    exact: bool


@dataclass(frozen=True, slots=True)
class LetterCount:
    """Dead letters with equal sources, directions, kinds and texts, and the newest of them."""

    source: str
    direction: str
    error_kind: str | None
    reason: str | None
    message: str | None
    count: int
    first_at: datetime
    last_at: datetime
    example: str


async def page(
    db: AsyncConnection, wanted: EventFilter, *, limit: int, before: str | None = None
) -> EventPage:
    """Return at most `limit` events that match a filter, with ids below `before`."""
    events = await _matches(db, _scanned(wanted, before), _rest(wanted), limit + 1)
    more = len(events) > limit
    last_id = events[limit - 1].id if more else await _end(db, wanted, before)
    return EventPage(events[:limit], last_id)


async def search(
    db: AsyncConnection, wanted: EventFilter, *, limit: int, before: str | None = None
) -> FoundEvents:
    """Return a page of the events that match a filter, and their number."""
    found = await page(db, wanted, limit=limit, before=before)
    every, rest = _scanned(wanted), _rest(wanted)
    counted = select(literal(1)).select_from(every).where(*_on(every, rest)).limit(COUNTED + 1)
    total = await db.scalar(select(func.count()).select_from(counted.subquery())) or 0
    exact = total <= COUNTED and await _end(db, wanted, None) is None
    return FoundEvents(found.events, found.last_id, min(total, COUNTED), exact)


async def letter_counts(db: AsyncConnection, wanted: EventFilter) -> Sequence[LetterCount]:
    """Return the groups of the newest dead letters that match a filter, the largest first."""
    dead = replace(wanted, status=SyncStatus.DEAD)
    scan = _scanned(dead)
    columns = scan.c
    group = (
        columns.source_system,
        columns.direction,
        columns.error_kind,
        columns.reason,
        func.left(columns.error_message, LONGEST_TEXT),
    )
    count = func.count()
    times = func.min(columns.updated_at), func.max(columns.updated_at)
    newest = func.max(columns.id.cast(Text))
    statement = select(*group, count, *times, newest).where(*_on(scan, _rest(dead)))
    rows = await db.execute(statement.group_by(*group).order_by(count.desc()).limit(_GROUPS))
    return [LetterCount(*row) for row in rows]


async def _matches(
    db: AsyncConnection, scan: Subquery, rest: EventFilter, most: int
) -> list[LoggedEvent]:
    columns = [scan.c[name] for name in LoggedEvent.__dataclass_fields__]
    statement = select(*columns).where(*_on(scan, rest)).order_by(scan.c.id.desc()).limit(most)
    return [LoggedEvent(*row) for row in await db.execute(statement)]


async def _end(db: AsyncConnection, wanted: EventFilter, before: str | None) -> str | None:
    """Return the last id that is read, None when no row is left out."""
    statement = _rows(wanted, before).with_only_columns(sync_events.c.id)
    found: str | None = await db.scalar(statement.offset(SCANNED - 1).limit(1))
    return found


def _scanned(wanted: EventFilter, before: str | None = None) -> Subquery:
    return _rows(wanted, before).limit(SCANNED).subquery()


def _rows(wanted: EventFilter, before: str | None) -> Select[Any]:
    """Return the rows that an index finds in their order, newest first."""
    statement = select(*_COLUMNS).where(*conditions(_indexed(wanted)))
    if wanted.status is not None and wanted.status not in _FINAL:
        # The condition of the partial index, which has the status and the id.
        statement = statement.where(text("status NOT IN ('succeeded', 'ignored')"))
    if before is not None:
        statement = statement.where(sync_events.c.id < before)
    return statement.order_by(sync_events.c.id.desc())


def _indexed(wanted: EventFilter) -> EventFilter:
    """Return the part of a filter that an index serves in the order of the ids."""
    status = None if wanted.status in _FINAL else wanted.status
    return EventFilter(
        status=status,
        customer_id=wanted.customer_id,
        ids=wanted.ids,
        since=wanted.since,
        until=wanted.until,
    )


def _rest(wanted: EventFilter) -> EventFilter:
    """Return the part of a filter that is compared row by row."""
    final = wanted.status if wanted.status in _FINAL else None
    return replace(wanted, status=final, customer_id=None, ids=None, since=None, until=None)


def _on(scan: Subquery, rest: EventFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter on the columns of a scan."""
    return conditions(rest, scan.c)
