"""Send the messages of unfinished sync events again when they are lost, as with a broker's disk.

A message is a reminder: the worker decides by the present record. So an extra message is harmless.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import outbox, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import stale_events, sync_events
from zenskar.db.events.failed_events import FailedEvent, MessageName
from zenskar.db.events.sync_events import Transition
from zenskar.db.outbox import OutboxMessage
from zenskar.db.reconcile_runs import FIRST_ID
from zenskar.errors import FailureKind
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.republish import messages_of
from zenskar.telemetry.logs import get_logger

RESENT, LOST = "resent", "message_lost"
_SCANNED = 1000
"""The number of events of each status that a run reads; the next run continues after them."""
_BACKLOG = 1000
"""With more waiting messages than this, an event without a change is slow rather than lost."""
_BACKLOG_FACTOR = 12
"""With a backlog, an event counts as lost at this multiple of the usual age."""
_log = get_logger(__name__)


class Resender:
    """Reads the unfinished events, some in each run, and sends messages that are lost again.

    `behind` returns the number of waiting messages on the log, by topic. An event that was sent
    again counts as changed, so it is sent at most once in `age_seconds`.
    """

    NAME = "resend"

    def __init__(
        self,
        context: SyncContext,
        behind: Callable[[], Awaitable[Mapping[str, int]]],
        *,
        age_seconds: float,
    ) -> None:
        self._context = context
        self._behind = behind
        self._age = age_seconds

    async def run(self, state: Mapping[str, Any]) -> None:
        """Check the next events of each status, and store where the next run starts."""
        delayed = sum((await self._behind()).values()) > _BACKLOG
        age = self._age * (_BACKLOG_FACTOR if delayed else 1)
        after = {}
        for status in stale_events.UNFINISHED:
            last = await self._next(status, state.get(status.value) or FIRST_ID, age)
            after[status.value] = last
        await in_transaction(self._context.engine, lambda c: schedules.save(c, self.NAME, after))

    async def _next(self, status: SyncStatus, after: str, age: float) -> str | None:
        async def resend(db: AsyncConnection) -> tuple[str | None, list[OutboxMessage]]:
            seen = await stale_events.scan(db, status, after, most=_SCANNED, age_seconds=age)
            if not seen.stale:
                return seen.last, []
            events = await stale_events.lock(db, seen.stale, age_seconds=age)
            return seen.last, await self._send(db, events)

        last, sent = await in_transaction(self._context.engine, resend)
        for topic, count in Counter(message.topic for message in sent).items():
            self._context.wake(topic)
            self._context.metrics.resent.labels(topic).inc(count)
            _log.warning("events_resent", topic=topic, count=count)
        return last

    async def _send(
        self, db: AsyncConnection, events: Sequence[FailedEvent]
    ) -> list[OutboxMessage]:
        made = await messages_of(db, events)
        names = [MessageName(m.topic, m.key, m.envelope.id) for m in made]
        there = await stale_events.waiting(db, names)
        sent = [message for message in made if message.envelope.id not in there]
        known = {message.envelope.id for message in made}
        gone = [event.id for event in events if event.id not in known]
        await sync_events.move(
            db,
            [Transition(m.envelope.id, SyncStatus.PENDING, RESENT) for m in sent]
            + [_lost(event_id) for event_id in gone],
        )
        await outbox.insert(db, sent)
        return sent


def _lost(event_id: str) -> Transition:
    """End an event as dead whose message cannot be made again."""
    return Transition(
        event_id,
        SyncStatus.DEAD,
        LOST,
        error_kind=FailureKind.REJECTED.value,
        error_message="its message is lost, and nothing is kept to make it again",
    )
