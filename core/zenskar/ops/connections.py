"""List, pause and resume connections, for the API and the command line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import call_limits, connection_accounts, connections, polls
from zenskar.db.call_limits import CallCount
from zenskar.db.connections import (
    DELETE_GUARD,
    OTHER_ACCOUNT,
    PAUSED_BY_OPERATOR,
    ConnectionChange,
    ConnectionState,
)
from zenskar.db.events import event_counts, held_deletes
from zenskar.db.events.event_counts import Backlog, EventCount
from zenskar.db.events.held_deletes import HeldDelete
from zenskar.db.operators.actions import ActionFilter
from zenskar.errors import NotFound, StateConflict
from zenskar.model.actor import Actor
from zenskar.model.operator_action import ActionKind
from zenskar.model.sync_event import NO_SOURCE
from zenskar.ops import audit
from zenskar.ops.audit import AuditEntry
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.sync import announcements
from zenskar.sync.resilience.call_grants import stated, used

_MOST_PAUSES = 20
"""The newest audit entries among which the present pause is found."""


@dataclass(frozen=True, slots=True)
class CallUse:
    """The calls of a connection that are used or taken by a process, of one limit.

    `name` is that of an endpoint, which is held back until `held_until`.
    """

    name: str
    seconds: float
    calls: int
    used: int
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """A connection's state, the sync events that wait for it, and whether it is configured.

    `polled_at` is when its feed was last read to its end. `call_limits` has the limits of which
    calls were used since the connection was last resumed. `pause_note` is the reason that an
    operator gave for its present pause.
    """

    state: ConnectionState
    backlog: Backlog
    configured: bool = True
    polled_at: datetime | None = None
    call_limits: tuple[CallUse, ...] = ()
    pause_note: str | None = None


@dataclass(frozen=True, slots=True)
class HeldDeletes:
    """The oldest deletes that the delete guard holds, and the number of all.

    There may be more than the total when it is not `exact`.
    """

    oldest: Sequence[HeldDelete]
    total: int
    exact: bool = True


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """An operator's decisions about the changes that a paused connection holds.

    `apply_deletes` is the number of held deletes that the operator was shown and confirms.
    """

    apply_deletes: int | None = None
    accept_account: bool = False


async def statuses(
    db: AsyncConnection,
    configured: Sequence[str],
    unfinished: Sequence[EventCount] | None = None,
) -> list[ConnectionStatus]:
    """Return the configured connections, then those that only the database knows.

    `unfinished` are the counts of their events if the caller has read them.
    """
    states = await connections.states(db)
    counts = await event_counts.unfinished(db) if unfinished is None else unfinished
    backlog = event_counts.backlogs(counts, (*configured, *states))
    feeds, calls = await polls.read(db), await call_limits.read(db)
    notes = await pause_notes(db, states.values())
    return [
        ConnectionStatus(
            states.get(name, ConnectionState(name)),
            backlog[name],
            configured=name in configured,
            polled_at=feeds[name].polled_at if name in feeds else None,
            call_limits=_uses(calls, name),
            pause_note=notes.get(name),
        )
        for name in dict.fromkeys((*configured, *states, *backlog))
        if name != NO_SOURCE
    ]


def _uses(
    counts: Mapping[str, Sequence[tuple[CallCount, datetime | None]]], name: str
) -> tuple[CallUse, ...]:
    return tuple(
        CallUse(count.name, count.seconds, stated(count), used(count), held_until)
        for count, held_until in counts.get(name, ())
    )


async def status(
    db: AsyncConnection,
    name: str,
    configured: Sequence[str],
    unfinished: Sequence[EventCount] | None = None,
) -> ConnectionStatus:
    """Return one connection, as `statuses` does. Raises `NotFound` when the name is unknown."""
    known = {each.state.name: each for each in await statuses(db, configured, unfinished)}
    if name not in known:
        raise NotFound(f"no connection is called {name!r}; there are: {', '.join(known) or 'none'}")
    return known[name]


async def pause_notes(
    db: AsyncConnection, states: Iterable[ConnectionState]
) -> Mapping[str, str | None]:
    """Return the reasons that operators gave for the present pauses, by connection."""
    notes: dict[str, str | None] = {}
    for state in states:
        if state.paused and state.reason == PAUSED_BY_OPERATOR:
            wanted = ActionFilter(action=ActionKind.PAUSE, target=state.name)
            # A pause of a paused connection changes nothing, and has a later time.
            last = (await audit.page(db, wanted, limit=_MOST_PAUSES)).actions
            reasons = [each.reason for each in last if each.at == state.paused_at]
            notes[state.name] = next(iter(reasons), None)
    return notes


async def history(
    db: AsyncConnection, name: str, since: datetime, most: int
) -> list[tuple[ConnectionChange, str | None]]:
    """Return the pauses of a connection and their ends, newest first, each with its reason.

    The reason is that of the operator, from as many of the newest entries of the audit.
    """
    changes = await connections.history(db, [name], since, most)
    actions = await audit.page(db, ActionFilter(target=name), limit=most)
    # Both rows are written in one transaction, whose time they have.
    reasons = {each.at: each.reason for each in actions.actions}
    return [(each, reasons.get(each.at)) for each in reversed(changes)]


async def pause(db: AsyncConnection, name: str, by: Actor, broadcaster: Broadcaster) -> None:
    """Stop all calls to an external system until the connection is resumed."""
    await announcements.pause(db, broadcaster, name, PAUSED_BY_OPERATOR, by=str(by))
    await AuditEntry(ActionKind.PAUSE, by, name).write(db)


async def resume(
    db: AsyncConnection, name: str, by: Actor, request: ResumeRequest, broadcaster: Broadcaster
) -> None:
    """Resume a connection. If it was not paused, its calls are counted anew.

    Only deletes that are held at this moment pass the guard, and none that arrives later. Raises
    `StateConflict` when the request does not match the changes that are held.
    """
    state = (await connections.states(db)).get(name)
    reason = state.reason if state is not None and state.paused else None
    entry, notes = AuditEntry(ActionKind.RESUME, by, name), []
    if request.accept_account:
        notes.append(await _accept_account(db, name, reason))
    if reason == DELETE_GUARD:
        waiting = await held_deletes.count(db, name)
        _check_count(name, waiting, request.apply_deletes)
        await connections.release_deletes(db, name)
        notes.append(f"{waiting} held deletes were let go")
        entry.request = entry.result = {"deletes": waiting}
    elif request.apply_deletes:
        raise StateConflict(f"the connection {name} holds no deletes")
    await announcements.resume(db, broadcaster, name, str(by), "; ".join(notes) or None)
    if reason is None:
        await call_limits.forget(db, name)
    await entry.write(db)


async def close_guard(db: AsyncConnection, name: str, by: Actor) -> None:
    """Close the delete guard after a resumption has released deletes.

    The guard counts all deletes of its window again, and holds the released ones that still wait.
    Raises `StateConflict` when no release is in force.
    """
    await connections.lock_deletes(db, name)
    if not await connections.close_guard(db, name):
        raise StateConflict(f"the delete guard of {name} is closed already")
    await AuditEntry(ActionKind.CLOSE_GUARD, by, name).write(db)


async def held(db: AsyncConnection, name: str, most: int) -> HeldDeletes:
    """Return the oldest deletes that the delete guard holds, with a total in bounded time."""
    oldest = await held_deletes.deletes(db, name, most)
    return HeldDeletes(oldest, *await held_deletes.count_oldest(db, name))


async def held_exactly(db: AsyncConnection, name: str, most: int) -> HeldDeletes:
    """Return the oldest deletes that the delete guard holds, with the number to confirm."""
    oldest = await held_deletes.deletes(db, name, most)
    return HeldDeletes(oldest, await held_deletes.count(db, name))


async def _accept_account(db: AsyncConnection, name: str, reason: str | None) -> str:
    account = await connection_accounts.accept(db, name) if reason == OTHER_ACCOUNT else None
    if account is None:
        raise StateConflict(f"the connection {name} is not stopped for another account")
    return f"the account {account} was accepted"


def _check_count(name: str, waiting: int, confirmed: int | None) -> None:
    if waiting == (confirmed or 0):
        return
    raise StateConflict(
        f"{waiting} deletes are held at {name}, see zenskar connections held {name}: resume with "
        f"--apply-deletes {waiting} to delete these records, or with --drop-deletes to look at "
        "each object and drop what is not proven deleted"
    )
