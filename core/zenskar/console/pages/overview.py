"""The overview: the parts, the connections and the traffic of the last hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.api.health import PAUSE_WORDS, Check, HealthReport, HealthStatus
from zenskar.console.page import ROOT, ConsolePage, Visit
from zenskar.db.connections import DELETE_GUARD
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_counts
from zenskar.db.events.event_counts import EventCount
from zenskar.model.sync_event import NO_SOURCE, Direction, SyncStatus
from zenskar.ops import connections
from zenskar.ops.connections import ConnectionStatus
from zenskar.ops.state import activity
from zenskar.ops.state.activity import Activity

_LATE_SECONDS = 600.0
"""An event that waits for longer needs the attention of an operator."""


@dataclass(frozen=True, slots=True)
class Concern:
    """A state that an operator should look at, and the address of the page with the details."""

    title: str
    text: str
    address: str
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """The unfinished sync events of a connection: by direction, the oldest, and dead letters."""

    inbound: int
    outbound: int
    dead: int
    oldest_seconds: float | None


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page."""
    services = visit.services

    async def load(
        db: AsyncConnection,
    ) -> tuple[list[ConnectionStatus], list[EventCount], Activity]:
        counts = await event_counts.unfinished(db)
        return (
            await connections.statuses(db, services.router.sources, counts),
            counts,
            await activity.last_hour(db),
        )

    report = await services.health.ready()
    found, unfinished, hour = await in_transaction(services.engine, load)
    waiting = {each.state.name: _waiting(unfinished, each.state.name) for each in found}
    return {
        "report": report,
        "connections": found,
        "waiting": waiting,
        "off": services.router.off,
        "hour": hour,
        "chart": _chart(hour),
        "pause_words": PAUSE_WORDS,
        "concerns": _concerns(
            report, found, waiting, services.router.off, _waiting(unfinished, NO_SOURCE).dead
        ),
        "dead": sum(each.count for each in unfinished if each.status == SyncStatus.DEAD),
        "unfinished": sum(each.count for each in unfinished if each.status != SyncStatus.DEAD),
        "exact": all(each.exact for each in unfinished),
        "oldest": _oldest(unfinished),
    }


def _waiting(unfinished: Sequence[EventCount], source: str) -> Waiting:
    own = [each for each in unfinished if each.source == source]
    living = [each for each in own if each.status != SyncStatus.DEAD]
    return Waiting(
        inbound=sum(each.count for each in living if each.direction == Direction.INBOUND),
        outbound=sum(each.count for each in living if each.direction == Direction.OUTBOUND),
        dead=sum(each.count for each in own if each.status == SyncStatus.DEAD),
        oldest_seconds=_oldest(own),
    )


def _oldest(unfinished: Sequence[EventCount]) -> float | None:
    ages = [each.oldest_seconds for each in unfinished if each.status != SyncStatus.DEAD]
    return max(ages, default=None)


def _chart(hour: Activity) -> list[list[int]]:
    """Return the columns of the chart: the minutes in seconds since 1970, then each direction."""
    start = int(hour.first.timestamp())
    minutes = [start + 60 * place for place in range(activity.MINUTES)]
    return [minutes, list(hour.counts[Direction.INBOUND]), list(hour.counts[Direction.OUTBOUND])]


def _concerns(
    report: HealthReport,
    found: Sequence[ConnectionStatus],
    waiting: Mapping[str, Waiting],
    off: Mapping[str, str],
    unreadable: int,
) -> list[Concern]:
    concerns = [
        Concern(f"The part “{name}” does not work", check.detail, _page_of(name), urgent=True)
        for name, check in report.checks.items()
        if check.status is HealthStatus.UNAVAILABLE
    ]
    workers = report.checks.get("workers")
    if workers is not None and workers.status is HealthStatus.DEGRADED:
        concerns.append(_of_workers(workers))
    bus = report.checks.get("bus")
    if bus is not None and bus.status is HealthStatus.DEGRADED:
        concerns.append(Concern("Messages wait for the bus", bus.detail, _page_of("bus")))
    if unreadable:
        belong = "belongs" if unreadable == 1 else "belong"
        text = f"{unreadable:,} {belong} to no connection: look at the message, then discard"
        address = f"{ROOT}/dead-letters?source={NO_SOURCE}"
        concerns.append(Concern("Messages that cannot be read", text, address))
    for status in found:
        concerns += _of_connection(status, waiting[status.state.name], off)
    return sorted(concerns, key=lambda each: not each.urgent)


def _of_workers(workers: Check) -> Concern:
    missing = [role for role, part in workers.parts.items() if part.status is not HealthStatus.OK]
    title, text, urgent = "A worker is stuck", f"restart it: {workers.detail}", False
    if len(missing) == len(workers.parts):
        title, text = "No worker runs", "changes and events wait: start one with zenskar worker"
        urgent = True
    elif missing:
        title, text = "Workers are missing", workers.detail
    return Concern(title, text, f"{ROOT}/system", urgent)


def _page_of(part: str) -> str:
    """Return the page with the details of a part."""
    return f"{ROOT}/bus" if part == "bus" else f"{ROOT}/system"


def _of_connection(
    status: ConnectionStatus, waiting: Waiting, off: Mapping[str, str]
) -> list[Concern]:
    state, name = status.state, quote(status.state.name, safe="")
    address = f"{ROOT}/connections/{name}"
    concerns = []
    if state.name in off:
        concerns.append(Concern(f"{state.name} is off", off[state.name], address, urgent=True))
    if state.paused:
        text = PAUSE_WORDS.get(state.reason or "", "nothing is sent, and changes wait")
        held = state.reason == DELETE_GUARD
        where = f"{ROOT}/held-deletes?source={name}" if held else address
        concerns.append(Concern(f"{state.name} is paused", text, where, urgent=True))
    elif (waiting.oldest_seconds or 0) > _LATE_SECONDS:
        text = f"the oldest waits for {int((waiting.oldest_seconds or 0) // 60)} minutes"
        concerns.append(Concern(f"Events of {state.name} wait", text, address))
    if waiting.dead:
        text = f"{waiting.dead:,} failed permanently: retry or discard"
        address = f"{ROOT}/dead-letters?source={name}"
        concerns.append(Concern(f"Dead letters of {state.name}", text, address))
    return concerns


PAGE = ConsolePage("", "overview.html", read, menu="Overview", icon="overview", live=True)
