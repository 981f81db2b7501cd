"""Find, show, retry and discard dead letters."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events import event_log, event_search
from zenskar.db.events.event_log import GAP, EventFilter, HistoryEntry, LoggedEvent
from zenskar.errors import NotFound
from zenskar.model.actor import Actor
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.events import hidden, message_of, note_reveal
from zenskar.ops.replay import Replay

_VARIABLE = re.compile(r"[\w.:/-]*\d[\w.:/-]*|[\x00-\x1f\x7f]+|^\s+|\s+$")
"""A word with a digit: an id, a number, a time, a place. Also the characters that no filter has."""


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


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Dead letters with one cause: the number, the first and the last time, and the newest letter.

    `error` is the text of the failure with a gap in place of each id and number, None without one.
    """

    source: str
    direction: str
    error_kind: str | None
    reason: str | None
    error: str | None
    count: int
    first_at: datetime
    last_at: datetime
    example: str


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
    shown = history if reveal else [hidden(entry) for entry in history]
    return DeadLetter(event, message_of(event, payload, reveal=reveal), shown)


async def groups(db: AsyncConnection, wanted: EventFilter) -> Sequence[LetterGroup]:
    """Return the groups of the newest dead letters that match a filter, the largest first."""
    found: dict[tuple[Any, ...], LetterGroup] = {}
    for each in await event_search.letter_counts(db, wanted):
        error = None if each.message is None else _cause(each.message)
        about = (each.source, each.direction, each.error_kind, each.reason, error)
        known = found.get(about)
        group = LetterGroup(*about, each.count, each.first_at, each.last_at, each.example)
        found[about] = group if known is None else _joined(known, group)
    return sorted(found.values(), key=lambda group: group.count, reverse=True)


def _cause(message: str) -> str:
    """Return a text with gaps that selects the failures with this message or with its start."""
    end = GAP if len(message) == event_search.LONGEST_TEXT else ""
    return _VARIABLE.sub(GAP, message) + end


def _joined(one: LetterGroup, other: LetterGroup) -> LetterGroup:
    return replace(
        one,
        count=one.count + other.count,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
        example=max(one.example, other.example),
    )


async def act(
    replay: Replay, wanted: EventFilter, action: Action, by: Actor, *, dry_run: bool = False
) -> ActionCount:
    """Retry or discard the dead letters that a filter matches; with `dry_run`, only count them."""
    matched = await replay.count(wanted)
    if dry_run:
        return ActionCount(matched, 0)
    done = await action(replay, wanted, by)
    return ActionCount(max(matched, done), done)
