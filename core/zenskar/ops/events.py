"""List and read sync events, for the API and the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events import event_log, sync_events
from zenskar.db.events.event_log import EventFilter, HistoryEntry, LoggedEvent
from zenskar.errors import NotFound
from zenskar.model.actor import Actor
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.operator_action import ActionKind
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.audit import AuditEntry

REVEALED = "revealed"
"""The reason of a history entry that says who was shown personal data."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Sync events, newest first, and the id to read the next page from; None on the last page."""

    events: Sequence[LoggedEvent]
    last_id: str | None


@dataclass(frozen=True, slots=True)
class EventWithHistory:
    """A sync event and its history; `payload` is its message if that was asked for."""

    event: LoggedEvent
    history: Sequence[HistoryEntry]
    payload: Any = None


async def page(
    db: AsyncConnection, wanted: EventFilter, *, limit: int, before: str | None = None
) -> EventPage:
    """Return at most `limit` sync events that match a filter and are older than `before`."""
    found = await event_log.page(db, wanted, most=limit + 1, before=before)
    last_id = found[limit - 1].id if len(found) > limit else None
    return EventPage(found[:limit], last_id)


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


async def note_reveal(db: AsyncConnection, event: LoggedEvent, to: Actor) -> None:
    """Add to the history of an event and to the audit that an operator was shown its message."""
    detail: HistoryDetail = {"reason": REVEALED, **to.detail}
    await sync_events.note(db, [(event.id, SyncStatus(event.status), detail)])
    await AuditEntry(ActionKind.REVEAL, to, event.id).write(db)


def _parsed(payload: str | None) -> Any:
    """Return a message as JSON, or as text when it is not JSON."""
    try:
        return orjson.loads(payload) if payload else None
    except orjson.JSONDecodeError:
        return payload
