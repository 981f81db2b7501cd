"""Find, show, acknowledge, retry and discard dead letters."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events import event_log, event_search
from zenskar.db.events.event_log import GAP, EventFilter, HistoryEntry, LoggedEvent
from zenskar.db.operators import actions
from zenskar.db.operators.actions import ActionFilter, OperatorAction
from zenskar.errors import InvalidInput, NotFound
from zenskar.model.actor import Actor
from zenskar.model.operator_action import ActionKind
from zenskar.model.sync_event import SyncStatus
from zenskar.ops.audit import AuditEntry
from zenskar.ops.events import hidden, message_of, note_reveal
from zenskar.ops.replay import Replay

_VARIABLE = re.compile(r"[\w.:/-]*\d[\w.:/-]*|[\x00-\x1f\x7f]+|^\s+|\s+$")
"""A word with a digit: an id, a number, a time, a place. Also the characters that no filter has."""


_CAUSE = ("source", "direction", "error_kind", "reason", "error")
"""The filters of a cause, which are the members of a group."""
_MOST_CAUSES = 200


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
class Acknowledgement:
    """The operator that works on the cause of dead letters, the time, and the reason."""

    by: str
    at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Dead letters with one cause: the number, the first and the last time, and the newest letter.

    `error` is the text of the failure with a gap in place of each id and number, None without one.
    A group is `acknowledged` until another letter of its cause dies.
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
    acknowledged: Acknowledgement | None = None


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
    """Return the groups of the newest dead letters that match a filter, the largest first.

    Acknowledged groups come last.
    """
    found: dict[tuple[Any, ...], LetterGroup] = {}
    for each in await event_search.letter_counts(db, wanted):
        error = None if each.message is None else _cause(each.message)
        about = (each.source, each.direction, each.error_kind, each.reason, error)
        known = found.get(about)
        group = LetterGroup(*about, each.count, each.first_at, each.last_at, each.example)
        found[about] = group if known is None else _joined(known, group)
    known_causes = await actions.page(db, ActionFilter(ActionKind.ACKNOWLEDGE), most=_MOST_CAUSES)
    shown = [replace(each, acknowledged=_covering(each, known_causes)) for each in found.values()]
    return sorted(shown, key=lambda group: (group.acknowledged is not None, -group.count))


async def acknowledge(db: AsyncConnection, wanted: EventFilter, by: Actor) -> int:
    """Acknowledge the groups that a filter matches, until another of their letters dies.

    Returns the number of dead letters. Raises `InvalidInput` for a filter of single letters, and
    `NotFound` when no dead letter matches.
    """
    given = {
        name: value
        for name in EventFilter.__dataclass_fields__
        if name != "status" and (value := getattr(wanted, name)) is not None
    }
    if not given or not set(given) <= set(_CAUSE):
        raise InvalidInput(f"acknowledge a cause: filter by {', '.join(_CAUSE)}")
    request = {name: str(value) for name, value in given.items()}
    count = sum(each.count for each in await groups(db, wanted) if _has_cause(each, request))
    if not count:
        raise NotFound("there is no group of dead letters with this cause")
    entry = AuditEntry(ActionKind.ACKNOWLEDGE, by, wanted.source, request, {"events": count})
    await entry.write(db)
    return count


def _has_cause(group: LetterGroup, cause: Mapping[str, Any]) -> bool:
    return all(getattr(group, name) == value for name, value in cause.items())


def _covering(group: LetterGroup, known: Sequence[OperatorAction]) -> Acknowledgement | None:
    """Return the acknowledgement of a group, None if a letter has died since."""
    for each in known:
        if each.at >= group.last_at and _has_cause(group, each.request):
            return Acknowledgement(each.by, each.at, each.reason)
    return None


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
