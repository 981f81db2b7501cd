"""End events whose connection is no longer configured."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import unqueued
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import stale_events, sync_events
from zenskar.db.events.failed_events import FailedEvent
from zenskar.db.events.sync_events import Transition
from zenskar.errors import FailureKind
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import UnsentMessage
from zenskar.sync.republish import messages_of
from zenskar.sync.work.job_result import Ack, Park
from zenskar.telemetry.logs import get_logger

NO_CONNECTION = "no_connection"
_BATCH = 500
_log = get_logger(__name__)


async def wait_or_end(context: SyncContext, event_id: str) -> Ack | Park:
    """Return the result for a message of a connection that is not configured."""
    known = await in_transaction(context.engine, lambda c: sync_events.lock(c, [event_id]))
    event = known.get(event_id)
    return Ack() if event is not None and event.status.final else Park()


class Unowned:
    """Ends events of connections that have been absent for a while; a retry restarts them."""

    NAME = "end_unowned"

    def __init__(self, context: SyncContext, *, age_seconds: float) -> None:
        self._context = context
        self._age = age_seconds

    async def run(self, _state: Any) -> None:
        """End every event that has waited for too long, one batch at a time."""
        while True:
            ended = await in_transaction(self._context.engine, self._end)
            for event in ended:
                kind = FailureKind.REJECTED.value
                self._context.dead_letters.count(event.source_system, kind)
            if ended:
                _log.warning("unowned_ended", count=len(ended))
            if len(ended) < _BATCH:
                return

    async def _end(self, db: AsyncConnection) -> Sequence[FailedEvent]:
        sources = list(self._context.connections)
        ids = await unqueued.unowned(db, sources, age_seconds=self._age, most=_BATCH)
        events = await stale_events.lock(db, ids, age_seconds=self._age) if ids else []
        messages = {m.envelope.id: m for m in await messages_of(db, events)}
        for event in events:
            why = Transition(
                event.id,
                SyncStatus.DEAD,
                NO_CONNECTION,
                error_kind=FailureKind.REJECTED.value,
                error_message=f"no connection is called {event.source_system!r}",
            )
            message = messages.get(event.id)
            if message is None:
                await sync_events.move(db, [why])
                self._context.dead_letters.announce(event.source_system, why)
                continue
            letter = UnsentMessage(message.key, message.encode(), {"topic": message.topic})
            await self._context.dead_letters.write(db, event.source_system, letter, why, attempts=0)
        return events
