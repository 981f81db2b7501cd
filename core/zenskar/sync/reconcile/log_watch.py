"""Notice that the log of the bus lost messages, and have both sides compared then.

A webhook that was answered may have been on the log alone. What it told of is still there in the
external system.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import LogRange
from zenskar.db import log_positions, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.db.log_positions import LogPosition, Place
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.full_comparison import Comparison
from zenskar.sync.reconcile.missed_events import MissedEventsPoller
from zenskar.telemetry.logs import get_logger

WENT_BACK = "went back"
ANEW = "was made anew"
UNREAD = "deleted messages before they were read"
OUT_OF_RANGE = "ends before what was read"
NO_OFFSET = "has no offset of its group any more"
NO_LOG = "is not used any more"
_SHOWN = 5
_log = get_logger(__name__)

ReadLog = Callable[[], Awaitable[Mapping[Place, LogRange] | None]]


@dataclass(frozen=True, slots=True)
class Loss:
    """A partition that does not hold what it should."""

    place: Place
    why: str

    def __str__(self) -> str:
        topic, partition = self.place
        return f"{topic}/{partition} {self.why}"


def losses(known: Mapping[Place, LogPosition], seen: Mapping[Place, LogRange] | None) -> list[Loss]:
    """Compare what was known of the log with what it is; None: there is no log any more."""
    if seen is None:
        return [Loss(place, NO_LOG) for place in sorted(known)]
    found = [Loss(place, ANEW) for place in sorted(known.keys() - seen.keys())]
    for place, there in sorted(seen.items()):
        why = _why(known.get(place), there)
        if why is not None:
            found.append(Loss(place, why))
    return found


def _why(known: LogPosition | None, there: LogRange) -> str | None:
    if known is not None and (known.went_back or there.end < known.end):
        return WENT_BACK
    if there.committed is None:
        return NO_OFFSET if known is not None and there.begin > 0 else None
    if there.committed > there.end:
        return OUT_OF_RANGE
    return UNREAD if there.committed < there.begin else None


class LogWatch:
    """Compares the log with what is remembered of it, and tells of each loss once."""

    NAME = "watch_log"

    def __init__(self, context: SyncContext, read_log: ReadLog) -> None:
        self._context = context
        self._read_log = read_log

    async def run(self, state: Mapping[str, Any]) -> None:
        """Look once; what was lost starts a sweep and a comparison of every connection."""
        engine = self._context.engine
        known = await in_transaction(engine, log_positions.read)
        seen = await self._read_log()
        if seen is None and not known:
            return
        found = losses(known, seen)
        told = set(state.get("told", ()))
        news = [loss for loss in found if str(loss) not in told]
        await in_transaction(engine, lambda c: self._store(c, seen or {}, found, news))
        if news:
            shown = ", ".join(str(loss) for loss in news[:_SHOWN])
            _log.error("log_lost_messages", lost=shown, partitions=len(news))
            for topic in sorted({loss.place[0] for loss in news}):
                self._context.metrics.log_losses.labels(topic).inc()

    async def _store(
        self,
        db: AsyncConnection,
        seen: Mapping[Place, LogRange],
        found: list[Loss],
        news: list[Loss],
    ) -> None:
        await log_positions.forget(db, [loss.place for loss in found])
        ends = {place: LogPosition(there.end) for place, there in seen.items()}
        await log_positions.save(db, ends)
        told = orjson.dumps({"told": [str(loss) for loss in found]}).decode()
        await schedules.save(db, self.NAME, told)
        if news:
            for source in self._context.connections:
                await schedules.hurry(db, MissedEventsPoller.schedule(source))
                await Comparison.want(db, source)
