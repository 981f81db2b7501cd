"""Show the connections with their state and their history, and the actions on each."""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.api.health import PAUSE_WORDS
from zenskar.console.page import ROOT, Action, ConsolePage, Done, Preview, Visit
from zenskar.db.connections import DELETE_GUARD, OTHER_ACCOUNT, PAUSED_BY_OPERATOR
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_counts
from zenskar.errors import InvalidInput
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.model.scope import Scope
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.ops import connections
from zenskar.ops.connections import ConnectionStatus, ResumeRequest
from zenskar.ops.state import activity
from zenskar.ops.state.system_state import SystemReading

SECTION = "/connections"
_REFUSAL_WORDS = MappingProxyType(
    {
        "signature": "wrong signature, check the webhook secret",
        "header": "a required header is missing",
        "body": "unreadable body",
    }
)
_HISTORY_DAYS, _MOST_CHANGES = 90, 50
_COUNT = re.compile("[0-9]{1,12}")


async def read_all(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the list."""
    services = visit.services

    async def load(db: AsyncConnection) -> list[ConnectionStatus]:
        return await connections.statuses(db, services.router.sources)

    found = await in_transaction(services.engine, load)
    return {"connections": found, "off": services.router.off, "pause_words": PAUSE_WORDS}


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of one connection. Raises `NotFound`."""
    services, name = visit.services, visit.part("name")
    reading = await services.state(most=event_counts.COUNTED)

    async def load(db: AsyncConnection) -> tuple[Any, ...]:
        since = datetime.now(UTC) - timedelta(days=_HISTORY_DAYS)
        return (
            await connections.status(db, name, services.router.sources, reading.events),
            await connections.history(db, name, since, _MOST_CHANGES),
            await activity.last_hour(db),
        )

    status, history, hour = await in_transaction(services.engine, load)
    configured = name in services.router.sources
    return {
        "status": status,
        "state": status.state,
        "history": history,
        "last": {way: hour.last.get((name, way)) for way in Direction},
        "off": services.router.off.get(name),
        "pause_words": PAUSE_WORDS,
        "error_is_over": _error_is_over(status, reading),
        "deletes": reading.deletes.get(name),
        "feed": reading.feeds.get(name),
        "has_feed": configured and services.operations.prompter().polls(name),
        "entities": services.router.owner(name).entities if configured else (),
        "comparisons": [each for each in reading.comparisons if each.source == name],
        "waiting": _waiting(reading, name),
        "refusal_words": _REFUSAL_WORDS,
        "refused": services.metrics.refused_webhooks(name),
    }


def _error_is_over(status: ConnectionStatus, reading: SystemReading) -> bool:
    """Return whether no event waits because of an error, and no error is the reason of a pause."""
    failing = any(
        each.source == status.state.name and each.error_kind and each.status != SyncStatus.DEAD
        for each in reading.events
    )
    harmless = {None, PAUSED_BY_OPERATOR, DELETE_GUARD}
    return not failing and status.state.reason in harmless


def _waiting(reading: SystemReading, name: str) -> list[tuple[str, str, int, float]]:
    """Return the unfinished events by direction and status, with their number and oldest age."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for each in reading.events:
        if each.source == name:
            key = each.direction, each.status
            count, oldest = found.get(key, (0, 0.0))
            found[key] = count + each.count, max(oldest, each.oldest_seconds)
    return [(*key, *value) for key, value in sorted(found.items())]


async def preview_pause(visit: Visit) -> Preview:
    """Show the changes that would wait."""
    name, back = visit.part("name"), _address(visit)
    status = await _status(visit)
    return Preview(
        f"Pause {name}?",
        "Calls to the external system stop. Changes and events wait, and nothing is lost.",
        "Pause",
        back,
        counts=[("Events that wait already", f"{status.backlog.waiting:,}")],
        dangerous=True,
        refusal="The connection is paused already." if status.state.paused else "",
    )


async def pause(visit: Visit) -> Done:
    """Pause the connection."""
    await _status(visit)
    services, name, by = visit.services, visit.part("name"), visit.actor
    await in_transaction(
        services.engine, lambda c: connections.pause(c, name, by, services.broadcaster)
    )
    return Done(f"{name} is paused.", _address(visit))


async def preview_resume(visit: Visit) -> Preview:
    """Show what would be sent and applied."""
    services, name = visit.services, visit.part("name")
    status, reading = await _status(visit), await services.state(most=event_counts.COUNTED)
    held = await in_transaction(services.engine, lambda c: connections.held_exactly(c, name, 20))
    waiting = Counter[str]()
    for way, kind, count, _ in _waiting(reading, name):
        waiting[way] += 0 if kind == SyncStatus.DEAD else count
    guarded = status.state.reason == DELETE_GUARD
    other = status.state.reason == OTHER_ACCOUNT
    text = "What waits is sent and applied at once."
    if guarded:
        text = "The held deletes are applied: these records are deleted here."
    if other:
        text = "The credentials open another account. What waits is sent to that account."
    return Preview(
        f"Resume {name}?",
        text,
        "Apply deletes and resume" if guarded and held.total else "Resume",
        _address(visit),
        counts=[
            ("Changes to send", f"{waiting[Direction.OUTBOUND]:,}"),
            ("Events to apply", f"{waiting[Direction.INBOUND]:,}"),
            ("Held deletes", f"{held.total:,}"),
        ],
        details=[f"{each.entity_type} {each.external_id}" for each in held.oldest],
        kept={"deletes": str(held.total if guarded else 0), "other": str(int(other))},
        dangerous=guarded or other,
        refusal="" if status.state.paused else "The connection is not paused.",
    )


async def resume(visit: Visit) -> Done:
    """Resume the connection; refuse when the number of held deletes has changed."""
    await _status(visit)
    services, name, by = visit.services, visit.part("name"), visit.actor
    deletes = visit.form.get("deletes", "0")
    if not _COUNT.fullmatch(deletes):
        raise InvalidInput("deletes: must be the number of held deletes")
    request = ResumeRequest(int(deletes), visit.form.get("other") == "1")
    await in_transaction(
        services.engine, lambda c: connections.resume(c, name, by, request, services.broadcaster)
    )
    for topic in (OUTBOUND, INBOUND):
        services.wake(topic)
    return Done(f"{name} is resumed.", _address(visit))


async def preview_check(visit: Visit) -> Preview:
    """Show which call the check makes."""
    await _status(visit)
    return Preview(
        f"Test the credentials of {visit.part('name')}?",
        "One call asks the external system whether it accepts the credentials.",
        "Test",
        _address(visit),
    )


async def check(visit: Visit) -> Done:
    """Call the health check."""
    name = visit.part("name")
    health = await visit.services.operations.prompter().check(name, visit.actor)
    verdict = "accepts the credentials" if health.ok else "does not accept the credentials"
    detail = f": {health.detail}" if health.detail else ""
    return Done(f"{name} {verdict}{detail}.", _address(visit))


async def preview_poll(visit: Visit) -> Preview:
    """Show what the poll reads."""
    await _status(visit)
    feed = (await visit.services.state(most=event_counts.COUNTED)).feeds.get(visit.part("name"))
    polled = feed.polled_at.strftime("%Y-%m-%d %H:%M:%S") if feed and feed.polled_at else "never"
    return Preview(
        f"Read the feed of {visit.part('name')} now?",
        "The next poll becomes due at once.",
        "Read now",
        _address(visit),
        counts=[("Last read to its end", polled)],
    )


async def poll(visit: Visit) -> Done:
    """Make the next poll due."""
    await visit.services.operations.prompter().poll(visit.part("name"), visit.actor)
    return Done("The feed is read within seconds.", _address(visit))


async def preview_close_guard(visit: Visit) -> Preview:
    """Show the deletes that the guard would count again."""
    name = visit.part("name")
    await _status(visit)
    deletes = (await visit.services.state()).deletes.get(name)
    is_open = deletes is not None and deletes.open_through is not None
    return Preview(
        f"Close the delete guard of {name}?",
        "Released deletes that still wait are held again, and the guard counts all deletes of its "
        "window. The next flood of deletes pauses the connection.",
        "Close guard",
        _address(visit),
        counts=[("Limit", f"{deletes.limit:,}")] if deletes else (),
        refusal="" if is_open else "The guard is closed already.",
    )


async def close_guard(visit: Visit) -> Done:
    """Close the delete guard."""
    name, by = visit.part("name"), visit.actor
    await in_transaction(visit.services.engine, lambda c: connections.close_guard(c, name, by))
    return Done(f"The delete guard of {name} is closed.", _address(visit))


async def _status(visit: Visit) -> ConnectionStatus:
    sources = visit.services.router.sources
    return await in_transaction(
        visit.services.engine, lambda c: connections.status(c, visit.part("name"), sources)
    )


def _address(visit: Visit) -> str:
    return f"{ROOT}{SECTION}/{visit.part('name')}"


LIST = ConsolePage(
    SECTION, "connections.html", read_all, menu="Connections", icon="connections", live=True
)
ONE = ConsolePage(f"{SECTION}/{{name}}", "connection.html", read, section=SECTION, live=True)
PAGES = (LIST, ONE)
ACTIONS = (
    Action(f"{SECTION}/{{name}}/pause", preview_pause, pause, SECTION, Scope.ADMIN),
    Action(f"{SECTION}/{{name}}/resume", preview_resume, resume, SECTION, Scope.ADMIN),
    Action(
        f"{SECTION}/{{name}}/close-guard", preview_close_guard, close_guard, SECTION, Scope.ADMIN
    ),
    Action(f"{SECTION}/{{name}}/check", preview_check, check, SECTION),
    Action(f"{SECTION}/{{name}}/poll", preview_poll, poll, SECTION),
)
