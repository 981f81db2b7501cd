"""Find, show, retry and discard dead letters."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events import event_log
from zenskar.db.events.event_log import EventFilter, HistoryEntry, LoggedEvent
from zenskar.errors import NotFound
from zenskar.model.actor import Actor
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.events import note_reveal
from zenskar.ops.replay import Replay
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


def only_dead(wanted: EventFilter) -> EventFilter:
    """Return the filter for dead letters alone."""
    return replace(wanted, status=SyncStatus.DEAD)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: its event, its stored message, and its history."""

    event: LoggedEvent
    payload: Any
    history: Sequence[HistoryEntry]


@dataclass(frozen=True, slots=True)
class ActionCount:
    """The number of dead letters that a filter matched, and of those that were acted upon."""

    matched: int
    done: int


Action = Callable[[Replay, EventFilter, Actor], Awaitable[int]]
"""`Replay.retry` or `Replay.discard`."""


async def find(db: AsyncConnection, event_id: str, *, reveal_to: Actor | None = None) -> DeadLetter:
    """Return a sync event that is a dead letter or was one.

    The values of fields are personal data, so they are hidden unless they are revealed to an
    operator; the history keeps a note of the operator. Raises `NotFound`.
    """
    reveal = reveal_to is not None
    event = await event_log.read(db, event_id)
    history = await event_log.history(db, event_id)
    if event is None or not any(entry.status == SyncStatus.DEAD for entry in history):
        raise NotFound("there is no dead letter with this id")
    if reveal_to is not None:
        await note_reveal(db, event, reveal_to)
    payload = await event_log.payload(db, event_id)
    shown = history if reveal else [_hidden(entry) for entry in history]
    return DeadLetter(event, _message(event, payload, reveal=reveal), shown)


async def act(
    replay: Replay, wanted: EventFilter, action: Action, by: Actor, *, dry_run: bool = False
) -> ActionCount:
    """Retry or discard the dead letters that a filter matches; with `dry_run`, only count them."""
    matched = await replay.count(wanted)
    if dry_run:
        return ActionCount(matched, 0)
    done = await action(replay, wanted, by)
    return ActionCount(max(matched, done), done)


def _message(event: LoggedEvent, payload: str | None, *, reveal: bool) -> Any:
    if payload is None:
        return None
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload if reveal else f"{HIDDEN}: {len(payload)} characters that are not JSON"
    # A message that breaks the schema may hold personal data anywhere.
    return message if reveal else _hide(message, _PLAIN, shown=event.reason != UNREADABLE)


def _hidden(entry: HistoryEntry) -> HistoryEntry:
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
