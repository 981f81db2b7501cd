"""Dead letters: what was given up, as it may be shown, and which of them are meant."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events import event_log, sync_events
from zenskar.db.events.event_log import EventFilter, HistoryEntry, LoggedEvent
from zenskar.model.actor import Actor
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.quarantine import UNREADABLE

HIDDEN = "(hidden)"
REVEALED = "revealed"
_VALUES = frozenset({"changes", "before", "seen", "conflicts"})
"""Members of a history entry that hold values of the record."""
_PLAIN = frozenset(
    {
        "id", "specversion", "source", "type", "subject", "time", "datacontenttype",
        "correlationid", "causationid", "traceparent", "data", "schema_version", "direction",
        "source_system", "entity_type", "entity_id", "record_version", "record_id", "external_id",
        "external_event_id", "event_type", "occurred", "kind", "ignored", "origin_key", "object",
    }
)  # fmt: skip
"""Members of an envelope that say what it is about, none of them the content of a field."""
_NAMES = frozenset({"path", "winner", "policy"})
_NAME = re.compile(r"[\w/.~-]{1,200}")
"""What the name of a member looks like; a name may be personal data too."""


def only_dead(wanted: EventFilter) -> EventFilter:
    """Return the filter for dead letters alone."""
    return replace(wanted, status=SyncStatus.DEAD)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was given up: its event, the message that is kept of it, and its history."""

    event: LoggedEvent
    payload: Any
    history: Sequence[HistoryEntry]


async def find(
    db: AsyncConnection, event_id: str, *, reveal_to: Actor | None = None
) -> DeadLetter | None:
    """Return what is a dead letter or was one, None if there is no such event.

    The values of fields are personal data: they are hidden unless they are revealed to somebody,
    of which the history keeps a note.
    """
    reveal = reveal_to is not None
    event = await event_log.read(db, event_id)
    history = await event_log.history(db, event_id)
    if event is None or not any(entry.status == SyncStatus.DEAD for entry in history):
        return None
    if reveal_to is not None:
        await note_reveal(db, event, reveal_to)
    payload = await event_log.payload(db, event_id)
    shown = history if reveal else [_hidden(entry) for entry in history]
    return DeadLetter(event, _message(event, payload, reveal=reveal), shown)


async def note_reveal(db: AsyncConnection, event: LoggedEvent, to: Actor) -> None:
    """Keep in the history of an event who was shown its message."""
    detail = {"reason": REVEALED, **to.detail}
    await sync_events.note(db, [(event.id, SyncStatus(event.status), detail)])


def _message(event: LoggedEvent, payload: str | None, *, reveal: bool) -> Any:
    if payload is None:
        return None
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload if reveal else f"{HIDDEN}: {len(payload)} characters that are not JSON"
    # What breaks the schema may hold anything anywhere.
    return message if reveal else _hide(message, _PLAIN, shown=event.reason != UNREADABLE)


def _hidden(entry: HistoryEntry) -> HistoryEntry:
    detail = {
        name: _hide(value, _NAMES, shown=True) if name in _VALUES else value
        for name, value in entry.detail.items()
    }
    return replace(entry, detail=detail)


def _hide(value: Any, plain: frozenset[str], *, shown: bool) -> Any:
    """Hide every value but those that are under plain names alone; null tells nothing."""
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
