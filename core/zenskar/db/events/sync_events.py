"""Sync events and their history: writing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import driver
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.sync_event import Direction, SyncStatus

CONFLICT, DELETED = "conflict", "deleted"
MARKS = (CONFLICT, DELETED)
"""Reasons by which operators search events; a marked event keeps its mark while it continues."""


# Created for every event of a batch: a frozen dataclass takes twice as long to fill.
class NewSyncEvent(NamedTuple):
    """A new sync event; `detail` goes into its first history entry."""

    id: str
    direction: Direction
    source_system: str
    event_type: str
    correlation_id: str
    entity_type: str | None = None
    entity_id: str | None = None
    external_id: str | None = None
    external_event_id: str | None = None
    causation_id: str | None = None
    payload: bytes | None = None
    detail: HistoryDetail | None = None


class Transition(NamedTuple):
    """A change of a sync event's status.

    `detail` goes into the history. `count_attempt` adds one to the attempts; `retry_in` is in
    seconds. The ids stay unchanged where None; the error and the reason are replaced.
    """

    event_id: str
    status: SyncStatus
    reason: str | None = None
    detail: HistoryDetail | None = None
    entity_id: str | None = None
    external_id: str | None = None
    error_kind: str | None = None
    error_message: str | None = None
    count_attempt: bool = False
    retry_in: float | None = None


class NewEntry(NamedTuple):
    """A new entry in the history of a sync event."""

    event_id: str
    status: SyncStatus
    detail: HistoryDetail | None


@dataclass(frozen=True, slots=True)
class EventState:
    """The status and the attempts of a sync event."""

    id: str
    status: SyncStatus
    attempts: int


_NAMES = """id, direction, source_system, entity_type, entity_id, external_id, event_type,
        external_event_id, correlation_id, causation_id, payload"""
_TYPED = """id uuid, direction text, source_system text, entity_type text, entity_id uuid,
        external_id text, event_type text, external_event_id text, correlation_id text,
        causation_id text"""

# Long texts are an array beside the rows. As members of the rows, they would be escaped here and
# unescaped by PostgreSQL, which costs a quarter of the statement.
_INSERT = f"""
    INSERT INTO sync_events ({_NAMES}, status)
    SELECT {_NAMES}, 'pending'
    FROM ROWS FROM (jsonb_to_recordset($1) AS ({_TYPED}), unnest($2::text[])) AS t({_NAMES})
    ON CONFLICT DO NOTHING
    RETURNING id
"""  # noqa: S608 - no value is put into the text

_HISTORY = """
    INSERT INTO sync_event_history (event_id, status, detail)
    SELECT t.event_id, t.status, t.detail
    FROM ROWS FROM (jsonb_to_recordset($1) AS (event_id uuid, status text), unnest($2::text[]))
         WITH ORDINALITY AS t(event_id, status, detail, ordinal)
    ORDER BY t.ordinal
"""

# The history is written by the same statement: a round trip costs more than either.
_RECORD = f"""
    WITH recorded AS (
        INSERT INTO sync_events (status, reason, {_NAMES})
        SELECT status, reason, {_NAMES}
        FROM ROWS FROM (jsonb_to_recordset($3) AS (status text, reason text, {_TYPED}),
                        unnest($4::text[])) AS t(status, reason, {_NAMES})
    ) {_HISTORY}
"""  # noqa: S608 - no value is put into the text

# The limit is the number of rows, which PostgreSQL cannot estimate from JSON.
_MOVE = f"""
    WITH moved AS (
        UPDATE sync_events AS e
        SET status = t.status, updated_at = now(),
            reason = CASE WHEN e.direction = 'outbound' AND t.status <> 'dead'
                    AND e.reason = ANY($5::text[])
                THEN e.reason ELSE t.reason END,
            entity_id = coalesce(t.entity_id, e.entity_id),
            external_id = coalesce(t.external_id, e.external_id),
            error_kind = t.error_kind, error_message = t.error_message,
            attempts = e.attempts + t.attempt,
            next_attempt_at = now() + make_interval(secs => t.retry_in)
        FROM (SELECT * FROM jsonb_to_recordset($3) AS r(id uuid, status text, reason text,
                  entity_id uuid, external_id text, error_kind text, error_message text,
                  attempt integer, retry_in double precision) LIMIT $4) AS t
        WHERE e.id = t.id
    ) {_HISTORY}
"""  # noqa: S608 - no value is put into the text

_KEEP_PAYLOAD = "UPDATE sync_events SET payload = $2 WHERE id = $1 AND payload IS NULL"

_DROP_PAYLOADS = "UPDATE sync_events SET payload = NULL WHERE id = ANY($1::uuid[])"

_MARK = "UPDATE sync_events SET reason = $2 WHERE id = $1"

_STATE = """
    SELECT CAST(id AS text) AS id, status, attempts FROM sync_events
    WHERE id = ANY($1::uuid[]) ORDER BY 1 FOR UPDATE
"""

_BY_EXTERNAL = """
    SELECT CAST(id AS text) AS id, external_event_id, status, attempts FROM sync_events
    WHERE source_system = $1 AND external_event_id = ANY($2::text[])
"""


async def insert(db: AsyncConnection, events: Sequence[NewSyncEvent]) -> set[str]:
    """Insert sync events as pending, where they are new, and return the ids of those."""
    if not events:
        return set()
    rows = await driver(db).fetch(_INSERT, [_row(event) for event in events], _payloads(events))
    written = {str(row["id"]) for row in rows}
    entries = [_first_entry(event) for event in events if event.id in written]
    await note(db, entries)
    return written


async def add(db: AsyncConnection, events: Sequence[NewSyncEvent]) -> None:
    """Insert sync events that are certainly new, as pending. Raises as `record` does."""
    if not events:
        return
    rows = [_row(event) | {"status": SyncStatus.PENDING, "reason": None} for event in events]
    history = _history(_first_entry(event) for event in events)
    await driver(db).execute(_RECORD, *history, rows, _payloads(events))


async def record(db: AsyncConnection, over: Sequence[tuple[NewSyncEvent, Transition]]) -> None:
    """Insert sync events that are already final, with their history.

    Raises a unique violation when another transaction has just inserted one of them; the caller
    then repeats the transaction.
    """
    if not over:
        return
    rows = [_final_row(event, end) for event, end in over]
    history = _history(entry for event, end in over for entry in (_first_entry(event), _entry(end)))
    await driver(db).execute(_RECORD, *history, rows, _payloads(event for event, _ in over))


async def move(
    db: AsyncConnection, transitions: Sequence[Transition], notes: Sequence[NewEntry] = ()
) -> None:
    """Apply transitions, at most one for each event, and append `notes` and them to the history."""
    if not transitions:
        await note(db, notes)
        return
    history = _history((*notes, *map(_entry, transitions)))
    rows = [_transition_row(transition) for transition in transitions]
    await driver(db).execute(_MOVE, *history, rows, len(rows), MARKS)


async def keep_payload(db: AsyncConnection, event_id: str, payload: str) -> None:
    """Store the message of an event without one."""
    await driver(db).execute(_KEEP_PAYLOAD, event_id, payload)


async def drop_payloads(db: AsyncConnection, event_ids: Iterable[str]) -> None:
    """Delete the messages of these events."""
    await driver(db).execute(_DROP_PAYLOADS, sorted(set(event_ids)))


async def mark(db: AsyncConnection, event_id: str, reason: str) -> None:
    """Set one of the `MARKS` on an outbound event, which keeps it while it continues."""
    await driver(db).execute(_MARK, event_id, reason)


async def note(db: AsyncConnection, notes: Sequence[NewEntry]) -> None:
    """Append entries to the history of events, without a change of status."""
    if notes:
        await driver(db).execute(_HISTORY, *_history(notes))


async def lock(db: AsyncConnection, event_ids: Iterable[str]) -> dict[str, EventState]:
    """Lock events in one order until the transaction ends, and return their states by id."""
    rows = await driver(db).fetch(_STATE, sorted(set(event_ids)))
    return {name: EventState(name, SyncStatus(status), tries) for name, status, tries in rows}


async def by_external_id(
    db: AsyncConnection, source: str, external_event_ids: Sequence[str]
) -> dict[str, EventState]:
    """Return the states of events by the ids of a source system."""
    rows = await driver(db).fetch(_BY_EXTERNAL, source, external_event_ids)
    return {
        external: EventState(name, SyncStatus(status), tries)
        for name, external, status, tries in rows
    }


def _payloads(events: Iterable[NewSyncEvent]) -> list[str | None]:
    return [None if event.payload is None else event.payload.decode() for event in events]


def _row(event: NewSyncEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "direction": event.direction,
        "source_system": event.source_system,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "external_id": event.external_id,
        "event_type": event.event_type,
        "external_event_id": event.external_event_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
    }


def _final_row(event: NewSyncEvent, end: Transition) -> dict[str, Any]:
    return _row(event) | {
        "entity_id": end.entity_id or event.entity_id,
        "external_id": end.external_id or event.external_id,
        "status": end.status,
        "reason": end.reason,
    }


def _transition_row(transition: Transition) -> dict[str, Any]:
    return {
        "id": transition.event_id,
        "status": transition.status,
        "reason": transition.reason,
        "entity_id": transition.entity_id,
        "external_id": transition.external_id,
        "error_kind": transition.error_kind,
        "error_message": transition.error_message,
        "attempt": int(transition.count_attempt),
        "retry_in": transition.retry_in,
    }


def _first_entry(event: NewSyncEvent) -> NewEntry:
    return NewEntry(event.id, SyncStatus.PENDING, event.detail)


def _entry(transition: Transition) -> NewEntry:
    return NewEntry(transition.event_id, transition.status, _detail(transition))


def _detail(transition: Transition) -> HistoryDetail:
    detail: HistoryDetail = {}
    if transition.reason is not None:
        detail["reason"] = transition.reason
    if transition.error_kind is not None:
        detail["error_kind"] = transition.error_kind
    if transition.error_message is not None:
        detail["error_message"] = transition.error_message
    if transition.retry_in is not None:
        detail["retry_in_seconds"] = transition.retry_in
    if transition.detail is not None:
        detail.update(transition.detail)
    return detail


def _history(entries: Iterable[NewEntry]) -> tuple[list[dict[str, str]], list[str | None]]:
    """Return the rows and the details of entries, the first two parameters of their insertion."""
    rows: list[dict[str, str]] = []
    details: list[str | None] = []
    for event_id, status, detail in entries:
        rows.append({"event_id": event_id, "status": status})
        details.append(orjson.dumps(detail).decode() if detail else None)
    return rows, details
