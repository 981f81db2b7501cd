"""Detect that the log of the bus lost messages, and request a reconcile of every connection.

A lost message may have been the only copy of an acknowledged webhook. Its object is still in the
external system.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import LogRange
from zenskar.db import log_positions, polls, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.db.log_positions import LogPosition, Place
from zenskar.model.envelope import DEAD_LETTER
from zenskar.sync.context import SyncContext
from zenskar.sync.reconcile.reconcile_job import ReconcileJob
from zenskar.telemetry.logs import get_logger

WENT_BACK = "went back"
RECREATED = "was created again"
UNREAD = "deleted messages before they were read"
OUT_OF_RANGE = "ends before the committed offset"
NO_OFFSET = "has lost the offset of its group"
NO_LOG = "is no longer used"
_SHOWN = 5
_log = get_logger(__name__)

ReadLog = Callable[[], Awaitable[Mapping[Place, LogRange] | None]]


@dataclass(frozen=True, slots=True)
class LogLoss:
    """A partition that lost messages, and the sign of it."""

    place: Place
    sign: str

    def __str__(self) -> str:
        topic, partition = self.place
        return f"{topic}/{partition} {self.sign}"


def losses(
    known: Mapping[Place, LogPosition], seen: Mapping[Place, LogRange] | None
) -> list[LogLoss]:
    """Compare the remembered ends of the log with the present log; None: the log is gone.

    No loss of dead letters counts: their sync events are complete, so no group consumes the topic.
    """
    known = {place: end for place, end in known.items() if place[0] != DEAD_LETTER}
    if seen is None:
        return [LogLoss(place, NO_LOG) for place in sorted(known)]
    found = [LogLoss(place, RECREATED) for place in sorted(known.keys() - seen.keys())]
    for place, there in sorted(seen.items()):
        sign = _sign_of_loss(known.get(place), there)
        if sign is not None:
            found.append(LogLoss(place, sign))
    return found


def _sign_of_loss(known: LogPosition | None, there: LogRange) -> str | None:
    if known is not None and (known.went_back or there.end < known.end):
        return WENT_BACK
    if there.committed is None:
        return NO_OFFSET if known is not None and there.begin > 0 else None
    if there.committed > there.end:
        return OUT_OF_RANGE
    return UNREAD if there.committed < there.begin else None


class LogLossDetector:
    """Compares the log with its remembered ends, and reports each loss once."""

    NAME = "watch_log"

    def __init__(self, context: SyncContext, read_log: ReadLog) -> None:
        self._context = context
        self._read_log = read_log

    async def run(self, state: Mapping[str, Any]) -> None:
        """Check the log once; a new loss starts a poll and a reconcile of every connection."""
        engine = self._context.engine
        known = await in_transaction(engine, log_positions.read)
        seen = await self._read_log()
        if seen is None and not known:
            return
        found = losses(known, seen)
        reported = set(state.get("reported", ()))
        new = [loss for loss in found if str(loss) not in reported]
        await in_transaction(engine, lambda c: self._store(c, seen or {}, found, new))
        if new:
            shown = ", ".join(str(loss) for loss in new[:_SHOWN])
            _log.error("log_lost_messages", lost=shown, partitions=len(new))
            for topic in sorted({loss.place[0] for loss in new}):
                self._context.metrics.log_losses.labels(topic).inc()

    async def _store(
        self,
        db: AsyncConnection,
        seen: Mapping[Place, LogRange],
        found: list[LogLoss],
        new: list[LogLoss],
    ) -> None:
        await log_positions.forget(db, [loss.place for loss in found])
        ends = {place: LogPosition(there.end) for place, there in seen.items()}
        await log_positions.save(db, ends)
        await schedules.save(db, self.NAME, {"reported": [str(loss) for loss in found]})
        if new:
            for source in self._context.connections:
                if self._context.router.implements(source, "changes"):
                    await schedules.hurry(db, polls.schedule(source))
                await ReconcileJob.request(db, source)
