"""List and read sync events, for the API and the command line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_log, event_search, sync_events
from zenskar.db.events.event_log import EventFilter, HistoryEntry, LoggedEvent
from zenskar.db.events.event_search import EventPage, FoundEvents
from zenskar.db.events.sync_events import NewEntry
from zenskar.errors import NotFound
from zenskar.model.actor import Actor
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.operator_action import ActionKind
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.audit import AuditEntry
from zenskar.sync.quarantine import UNREADABLE

HIDDEN = "(hidden)"
_VALUES = frozenset({"changes", "before", "seen", "conflicts", "violations"})
"""Members of a history entry that hold field values."""
_PLAIN = frozenset(
    {
        "id", "specversion", "source", "type", "subject", "time", "datacontenttype",
        "correlationid", "causationid", "traceparent", "data", "schema_version", "direction",
        "source_system", "entity_type", "entity_id", "record_version", "record_id", "external_id",
        "external_event_id", "event_type", "occurred", "kind", "ignored", "origin_key", "object",
    }
)  # fmt: skip
"""Members of an envelope that hold no field values."""
_NAMES = frozenset({"path", "winner", "policy"})
_NAME = re.compile(r"[\w/.~-]{1,200}")
"""The names of members that are shown; another name may be personal data too."""
REVEALED = "revealed"
"""The reason of a history entry that says who was shown personal data."""


@dataclass(frozen=True, slots=True)
class EventWithHistory:
    """A sync event and its history; `payload` is its message if that was asked for."""

    event: LoggedEvent
    history: Sequence[HistoryEntry]
    payload: Any = None


async def page(
    db: AsyncConnection, wanted: EventFilter, *, limit: int, before: str | None = None
) -> EventPage:
    """Return at most `limit` sync events that match a filter, in bounded time."""
    return await event_search.page(db, wanted, limit=limit, before=before)


async def newest(
    engine: AsyncEngine, wanted: EventFilter, *, limit: int, before: str | None = None
) -> list[LoggedEvent]:
    """Return the newest `limit` sync events that match a filter, from as many pages as needed."""
    found: list[LoggedEvent] = []
    while len(found) < limit:
        older, left = before, limit - len(found)
        part = await in_transaction(
            engine,
            lambda c: page(c, wanted, limit=left, before=older),  # noqa: B023 - runs at once
        )
        found += part.events
        before = part.last_id
        if before is None:
            break
    return found


async def read(
    db: AsyncConnection, event_id: str, *, reveal_to: Actor | None = None
) -> EventWithHistory:
    """Return one sync event, with its message when the message is revealed to an operator.

    The history keeps a note of the operator. Raises `NotFound`.
    """
    event = await event_log.read(db, event_id)
    if event is None:
        raise NotFound("there is no sync event with this id")
    payload = None
    if reveal_to is not None:
        await note_reveal(db, event, reveal_to)
        payload = _parsed(await event_log.payload(db, event_id))
    return EventWithHistory(event, await event_log.history(db, event_id), payload)


async def search(
    db: AsyncConnection, wanted: EventFilter, *, limit: int, before: str | None = None
) -> FoundEvents:
    """Return at most `limit` events that match a filter, with a total, in bounded time."""
    return await event_search.search(db, wanted, limit=limit, before=before)


async def show(db: AsyncConnection, event_id: str, *, reveal: bool) -> EventWithHistory:
    """Return one sync event with its message; values are hidden unless they are revealed.

    The caller has written who is shown the values. Raises `NotFound`.
    """
    event = await event_log.read(db, event_id)
    if event is None:
        raise NotFound("there is no sync event with this id")
    history = await event_log.history(db, event_id)
    payload = message_of(event, await event_log.payload(db, event_id), reveal=reveal)
    shown = history if reveal else [hidden(entry) for entry in history]
    return EventWithHistory(event, shown, payload)


async def reveal(db: AsyncConnection, event_id: str, to: Actor) -> None:
    """Write that an operator is shown the values of an event. Raises `NotFound`."""
    event = await event_log.read(db, event_id)
    if event is None:
        raise NotFound("there is no sync event with this id")
    await note_reveal(db, event, to)


async def note_reveal(db: AsyncConnection, event: LoggedEvent, to: Actor) -> None:
    """Add to the history of an event and to the audit that an operator was shown its message."""
    detail: HistoryDetail = {"reason": REVEALED, **to.detail}
    await sync_events.note(db, [NewEntry(event.id, SyncStatus(event.status), detail)])
    await AuditEntry(ActionKind.REVEAL, to, event.id).write(db)


def _parsed(payload: str | None) -> Any:
    """Return a message as JSON, or as text when it is not JSON."""
    try:
        return orjson.loads(payload) if payload else None
    except orjson.JSONDecodeError:
        return payload


def message_of(event: LoggedEvent, payload: str | None, *, reveal: bool) -> Any:
    """Return the stored message of an event; its values are hidden unless they are revealed."""
    if payload is None or reveal:
        return _parsed(payload)
    return hidden_message(payload, readable=event.reason != UNREADABLE)


def hidden_message(text: str, *, readable: bool) -> Any:
    """Return a message without values; one that breaks the schema may hold them anywhere."""
    try:
        return _hide(orjson.loads(text), _PLAIN, shown=readable)
    except orjson.JSONDecodeError:
        return f"{HIDDEN}: {len(text)} characters that are not JSON"


def hidden(entry: HistoryEntry) -> HistoryEntry:
    """Return an entry of a history without the values of fields."""
    detail = {
        name: _hide(value, _NAMES, shown=True) if name in _VALUES else value
        for name, value in entry.detail.items()
    }
    return replace(entry, detail=cast("HistoryDetail", detail))


def _hide(value: Any, plain: frozenset[str], *, shown: bool) -> Any:
    """Hide every value except null and values under plain names."""
    if isinstance(value, Mapping):
        return {
            name if _NAME.fullmatch(name) else HIDDEN: _hide(
                inner, plain, shown=shown and name in plain
            )
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_hide(item, plain, shown=shown) for item in value]
    return value if shown or value is None else HIDDEN
