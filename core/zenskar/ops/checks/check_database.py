"""Check the database and its contents."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import api_keys, connections, polls, workers
from zenskar.db.connections import DELETE_GUARD, PAUSED_BY_OPERATOR, ConnectionState
from zenskar.db.driver.engine import in_transaction
from zenskar.db.driver.writable import check_writable
from zenskar.db.events import event_counts
from zenskar.db.polls import FeedState
from zenskar.db.schema.present import require_reachable, require_schema
from zenskar.errors import ZenskarError
from zenskar.model.sync_event import NO_SOURCE
from zenskar.ops.checks import check_clocks
from zenskar.ops.checks.finding import Finding, failed, note, ok
from zenskar.ops.connections import pause_notes
from zenskar.settings import Settings

_ALIVE_SECONDS = 15.0
_NO_ERROR = frozenset({PAUSED_BY_OPERATOR, DELETE_GUARD})
"""The reasons of pauses that no error has caused; the last error is an older one."""


FIX = "check ZENSKAR_DATABASE_URL, or run `zenskar dev`"


async def check(
    opened: AbstractAsyncContextManager[AsyncEngine], settings: Settings, *, needs_keys: bool
) -> list[Finding]:
    """Check the database and its contents; `needs_keys` says whether some API key must exist."""
    try:
        async with opened as engine:
            await check_writable(await require_reachable(engine))
            kind = "embedded" if settings.database_url is None else "at ZENSKAR_DATABASE_URL"
            return [ok("database", f"answers ({kind})"), *await _contents(engine, needs_keys)]
    except ZenskarError as error:
        return [failed("database", str(error), FIX)]


async def _contents(engine: AsyncEngine, needs_keys: bool) -> list[Finding]:
    try:
        await require_schema(engine)
    except ZenskarError as error:
        return [failed("schema", str(error), "zenskar migrate")]
    checks: list[Callable[[AsyncConnection], Awaitable[Finding]]] = [_workers, _paused, _dead]
    if needs_keys:
        checks.append(_keys)
    found = [await in_transaction(engine, check) for check in checks]
    clocks = await in_transaction(engine, connections.clocks)
    found += [
        check_clocks.check_offset(f"clock of {name}, seen by workers", offset)
        for name, offset in sorted(clocks.items())
    ]
    feeds = await in_transaction(engine, polls.read)
    found += [check_feed(name, feed) for name, feed in sorted(feeds.items())]
    return [ok("schema", "is up to date"), *found]


async def _workers(db: AsyncConnection) -> Finding:
    alive = await workers.alive(db, _ALIVE_SECONDS)
    if troubled := await workers.problems(db, _ALIVE_SECONDS):
        fix = "look for `consumer_failed` and `message_quarantined` in the logs of the workers"
        return failed("workers", "; ".join(troubled), fix)
    if alive:
        return ok("workers", f"{alive} alive")
    return failed("workers", "none is alive", "start `zenskar worker`, or `zenskar dev`")


async def _paused(db: AsyncConnection) -> Finding:
    states = (await connections.states(db)).values()
    paused = [state for state in states if state.paused]
    held = [state for state in states if state.held_seconds and not state.paused]
    if held and not paused:
        detail = "; ".join(f"{s.name}: held back for {s.held_seconds:.0f} s" for s in held)
        fix = f"calls resume automatically; at once with: zenskar connections resume {held[0].name}"
        return note("paused", f"{detail}, as its system requested", fix)
    if not paused:
        return ok("paused", "no connection is paused")
    notes = await pause_notes(db, paused)
    detail = "; ".join(f"{s.name}: {_cause(s, notes.get(s.name))}" for s in paused)
    fix = f"fix the cause, then: zenskar connections resume {paused[0].name}"
    return failed("paused", detail, fix)


def _cause(state: ConnectionState, note: str | None) -> str:
    """Return the reason of a pause, with its error or with the reason of the operator."""
    reason = (state.reason or "").replace("_", " ")
    more = note if state.reason in _NO_ERROR else state.error_message
    return f"{reason}: {more}" if more else reason


async def _dead(db: AsyncConnection) -> Finding:
    backlogs = event_counts.backlogs(await event_counts.unfinished(db))
    dead = {name: backlog.dead for name, backlog in backlogs.items() if backlog.dead}
    if not dead:
        return ok("dead letters", "there are none")
    unreadable = dead.pop(NO_SOURCE, 0)
    detail = ", ".join(
        [f"{count} of {name}" for name, count in dead.items()]
        + [f"{unreadable} that cannot be read"] * bool(unreadable)
    )
    return note(
        "dead letters", detail, "zenskar events list --status dead, then zenskar events retry"
    )


def check_feed(name: str, feed: FeedState) -> Finding:
    """Return when a feed was last read to its end; failed polls since then are a failure."""
    part, last = f"feed of {name}", "was never read to its end"
    if feed.polled_at is not None:
        seconds = (datetime.now(UTC) - feed.polled_at).total_seconds()
        last = f"was last read to its end {max(0.0, seconds):.0f} s ago"
    if not feed.failures:
        return ok(part, last)
    fix = "see `poll_failed` in the logs of the workers, and `zenskar connections list`"
    return failed(part, f"{last}, polls that failed since: {feed.failures}", fix)


async def _keys(db: AsyncConnection) -> Finding:
    living = [k for k in await api_keys.read_all(db) if k.in_force]
    if living:
        return ok("api keys", f"{len(living)} can be used")
    return failed(
        "api keys", "there is none, so the API refuses everyone", "zenskar keys create NAME"
    )
