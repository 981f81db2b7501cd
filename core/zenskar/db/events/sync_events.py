"""Sync events and their history: writing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.packing import Texts, document, listed, number, packed, unpacked
from zenskar.db.driver.statements import statement
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.sync_event import Direction, SyncStatus

CONFLICT, DELETED = "conflict", "deleted"
MARKS = (CONFLICT, DELETED)
"""Reasons by which people look for events, whatever else an event goes on to do."""


# One of each is made for every event of a batch: a frozen dataclass takes twice as long to fill.
class NewSyncEvent(NamedTuple):
    """A sync event to write; `detail` goes into its first history entry."""

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
    """A step in the life of a sync event.

    `detail` goes into the history. `count_attempt` adds one to its attempts; `retry_in` is in
    seconds. What is None stays as it was, but an error is cleared by success.
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


@dataclass(frozen=True, slots=True)
class EventState:
    """What a worker must know of a sync event."""

    id: str
    status: SyncStatus
    attempts: int


_TEXTS = (
    "id",
    "direction",
    "source_system",
    "entity_type",
    "entity_id",
    "external_id",
    "event_type",
    "external_event_id",
    "correlation_id",
    "causation_id",
)
_NAMES = ", ".join((*_TEXTS, "payload"))
_VALUES = ", ".join(
    f"CAST(t.{name} AS uuid)" if name in {"id", "entity_id"} else f"t.{name}"
    for name in (*_TEXTS, "payload")
)

_INSERT = statement(f"""
    INSERT INTO sync_events ({_NAMES}, status)
    SELECT {_VALUES}, 'pending'
    FROM {unpacked(*_TEXTS, documents=["payload"])} AS t({_NAMES})
    ON CONFLICT DO NOTHING
    RETURNING id
""")  # noqa: S608 - no value is put into the text

_RECORD = statement(f"""
    INSERT INTO sync_events (status, reason, {_NAMES})
    SELECT t.status, t.reason, {_VALUES}
    FROM {unpacked("status", "reason", *_TEXTS, documents=["payload"])}
         AS t(status, reason, {_NAMES})
""")  # noqa: S608 - no value is put into the text

_HISTORY = statement(f"""
    INSERT INTO sync_event_history (event_id, status, detail)
    SELECT CAST(t.event_id AS uuid), t.status, t.detail
    FROM {unpacked("event_ids", "statuses", documents=["details"])}
         WITH ORDINALITY AS t(event_id, status, detail, ordinal)
    ORDER BY t.ordinal
""")  # noqa: S608 - no value is put into the text

_MOVES = (
    "id",
    "status",
    "reason",
    "entity_id",
    "external_id",
    "error_kind",
    "error_message",
    "attempt",
    "retry_in",
)
_MOVE = statement(f"""
    UPDATE sync_events AS e
    SET status = t.status, updated_at = now(),
        reason = CASE WHEN e.direction = 'outbound' AND t.status <> 'dead'
                AND e.reason = ANY(CAST(:marks AS text[]))
            THEN e.reason ELSE t.reason END,
        entity_id = coalesce(CAST(t.entity_id AS uuid), e.entity_id),
        external_id = coalesce(t.external_id, e.external_id),
        error_kind = t.error_kind, error_message = t.error_message,
        attempts = e.attempts + CAST(t.attempt AS integer),
        next_attempt_at = now() + make_interval(secs => CAST(t.retry_in AS double precision))
    FROM {unpacked(*_MOVES)} AS t({", ".join(_MOVES)})
    WHERE e.id = CAST(t.id AS uuid)
""")  # noqa: S608 - no value is put into the text

_KEEP_PAYLOAD = statement("""
    UPDATE sync_events SET payload = :payload WHERE id = CAST(:id AS uuid) AND payload IS NULL
""")

_DROP_PAYLOADS = statement(f"""
    UPDATE sync_events SET payload = NULL WHERE id = ANY({listed("ids", "uuid")})
""")  # noqa: S608 - no value is put into the text

_MARK = statement("UPDATE sync_events SET reason = :reason WHERE id = CAST(:id AS uuid)")

_STATE = statement(f"""
    SELECT CAST(id AS text) AS id, status, attempts FROM sync_events
    WHERE id = ANY({listed("ids", "uuid")}) ORDER BY 1 FOR UPDATE
""")  # noqa: S608 - no value is put into the text

_BY_EXTERNAL = statement(f"""
    SELECT CAST(id AS text) AS id, external_event_id, status, attempts FROM sync_events
    WHERE source_system = :source AND external_event_id = ANY({listed("ids")})
""")  # noqa: S608 - no value is put into the text


async def insert(db: AsyncConnection, events: Sequence[NewSyncEvent]) -> set[str]:
    """Write sync events as pending and return the ids of those that were not there before."""
    if not events:
        return set()
    texts, payloads = _columns(events)
    rows = await _INSERT.rows(db, **packed(texts, payloads))
    written = {str(row["id"]) for row in rows}
    await _history(
        db,
        [(e.id, SyncStatus.PENDING, e.detail) for e in events if e.id in written],
    )
    return written


async def record(db: AsyncConnection, over: Sequence[tuple[NewSyncEvent, Transition]]) -> None:
    """Write sync events that came to their end before they were written, with all their history.

    Raises a unique violation, after which the transaction is to be run again, when somebody has
    just written one of them.
    """
    if not over:
        return
    texts, payloads = _columns([e for e, _ in over])
    texts |= {
        "entity_id": [t.entity_id or e.entity_id for e, t in over],
        "external_id": [t.external_id or e.external_id for e, t in over],
        "status": [t.status for _, t in over],
        "reason": [t.reason for _, t in over],
    }
    await _RECORD.run(db, **packed(texts, payloads))
    steps = ((e.id, SyncStatus.PENDING, e.detail) for e, _ in over)
    ends = ((t.event_id, t.status, _detail(t)) for _, t in over)
    await _history(db, [entry for pair in zip(steps, ends, strict=True) for entry in pair])


async def move(db: AsyncConnection, transitions: Sequence[Transition]) -> None:
    """Move sync events on and write their history. One transition for each event at most."""
    if not transitions:
        return
    texts: Texts = {
        "id": [t.event_id for t in transitions],
        "status": [t.status for t in transitions],
        "reason": [t.reason for t in transitions],
        "entity_id": [t.entity_id for t in transitions],
        "external_id": [t.external_id for t in transitions],
        "error_kind": [t.error_kind for t in transitions],
        "error_message": [t.error_message for t in transitions],
        "attempt": [str(int(t.count_attempt)) for t in transitions],
        "retry_in": [number(t.retry_in) for t in transitions],
    }
    await _MOVE.run(db, marks=list(MARKS), **packed(texts))
    await _history(db, [(t.event_id, t.status, _detail(t)) for t in transitions])


async def keep_payload(db: AsyncConnection, event_id: str, payload: str) -> None:
    """Keep the message of an event that has none yet."""
    await _KEEP_PAYLOAD.run(db, id=event_id, payload=payload)


async def drop_payloads(db: AsyncConnection, event_ids: Iterable[str]) -> None:
    """Keep the messages of these events no longer."""
    await _DROP_PAYLOADS.run(db, **packed({"ids": sorted(set(event_ids))}))


async def mark(db: AsyncConnection, event_id: str, reason: str) -> None:
    """Give an outbound event one of the `MARKS`, which it keeps while it goes on."""
    await _MARK.run(db, id=event_id, reason=reason)


async def note(db: AsyncConnection, notes: Sequence[tuple[str, SyncStatus, HistoryDetail]]) -> None:
    """Add to the history of events without a change of status: id, status and detail."""
    await _history(db, notes)


async def lock(db: AsyncConnection, event_ids: Iterable[str]) -> dict[str, EventState]:
    """Return events' states by id, locked in one order until the transaction ends."""
    rows = await _STATE.rows(db, **packed({"ids": sorted(set(event_ids))}))
    return {name: EventState(name, SyncStatus(status), tries) for name, status, tries in rows}


async def by_external_id(
    db: AsyncConnection, source: str, external_event_ids: Sequence[str]
) -> dict[str, EventState]:
    """Return the events that a source system named so, by that name."""
    rows = await _BY_EXTERNAL.rows(db, source=source, **packed({"ids": external_event_ids}))
    return {
        external: EventState(name, SyncStatus(status), tries)
        for name, external, status, tries in rows
    }


def _columns(
    events: Sequence[NewSyncEvent],
) -> tuple[dict[str, list[str | None]], dict[str, list[bytes | None]]]:
    texts = {name: [getattr(event, name) for event in events] for name in _TEXTS}
    return texts, {"payload": [event.payload for event in events]}


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


async def _history(
    db: AsyncConnection, entries: Sequence[tuple[str, SyncStatus, HistoryDetail | None]]
) -> None:
    if not entries:
        return
    texts: Texts = {
        "event_ids": [event_id for event_id, _, _ in entries],
        "statuses": [status for _, status, _ in entries],
    }
    details = [document(detail) if detail else None for _, _, detail in entries]
    await _HISTORY.run(db, **packed(texts, {"details": details}))
