"""Put sync events to work again whose message is gone, as when a broker has lost its disk.

A message is a reminder: the worker decides from the record as it is. So one too many does no harm.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
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
"""How many events of each status a run looks at; the next one goes on behind them."""
_CROWD = 1000
"""While more wait on the log than this, an event that has not moved is slow rather than lost."""
_PATIENCE = 12
"""So many times the usual age, and it is taken for lost even then."""
_log = get_logger(__name__)


class Resender:
    """Looks through the unfinished events, some in each run, and sends again what has no message.

    `behind` tells how many messages wait on the log, by topic. An event that was sent again counts
    as touched, so it is sent once in `age_seconds` at most.
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
        """Look at the next events of each status, and remember how far that was."""
        crowded = sum((await self._behind()).values()) > _CROWD
        age = self._age * (_PATIENCE if crowded else 1)
        after = {}
        for status in stale_events.UNFINISHED:
            last = await self._next(status, state.get(status.value) or FIRST_ID, age)
            after[status.value] = last
        left = orjson.dumps(after).decode()
        await in_transaction(self._context.engine, lambda c: schedules.save(c, self.NAME, left))

    async def _next(self, status: SyncStatus, after: str, age: float) -> str | None:
        async def work(db: AsyncConnection) -> tuple[str | None, list[OutboxMessage]]:
            seen = await stale_events.scan(db, status, after, most=_SCANNED, age_seconds=age)
            if not seen.stale:
                return seen.last, []
            events = await stale_events.lock(db, seen.stale, age_seconds=age)
            return seen.last, await self._send(db, events)

        last, sent = await in_transaction(self._context.engine, work)
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
    """Nothing is left of which a message could be made."""
    return Transition(
        event_id,
        SyncStatus.DEAD,
        LOST,
        error_kind=FailureKind.REJECTED.value,
        error_message="its message is lost, and nothing is kept to make it again",
    )
