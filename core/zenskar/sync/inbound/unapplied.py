"""Store inbound events that are not applied: they wait, are retried, or are dead letters."""

import random
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Delivery
from zenskar.db import connections
from zenskar.db.driver.engine import each_alone, in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.errors import Failure
from zenskar.model.envelope import Envelope
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.message_decoder import received_event
from zenskar.sync.resilience.failures import bug, failure_of, retry_delay
from zenskar.sync.work.job_result import Ack, JobResult, Nack


class UnappliedEvents:
    """Stores the inbound events that cannot be applied, or not now."""

    def __init__(self, context: SyncContext) -> None:
        self._context = context
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret

    async def parked(self) -> frozenset[str]:
        """Return the source systems whose events must wait.

        Without its profile, the events of a connection would be misread.
        """
        states = await each_alone(self._context.engine, connections.states)
        paused = (name for name, state in states.items() if state.holds_inbound)
        return frozenset((*paused, *self._context.unreadable))

    async def park(self, envelopes: Sequence[Envelope]) -> frozenset[str]:
        """Write events that wait for their connection; return the ids of those that have ended."""
        events = [received_event(envelope) for envelope in envelopes]

        async def write(db: AsyncConnection) -> frozenset[str]:
            await sync_events.insert(db, events)
            known = await sync_events.lock(db, [event.id for event in events])
            return frozenset(name for name, state in known.items() if state.status.final)

        return await in_transaction(self._context.engine, write)

    async def fail(self, envelope: Envelope, delivery: Delivery, error: Exception) -> JobResult:
        """Store that an event could not be applied; return whether it is delivered again.

        The event is retried if the database may accept it later; else it is a dead letter.
        """
        failure, source = failure_of(error), envelope.data["source_system"]
        retry = self._context.retry(source)
        delay = retry_delay(failure, delivery.attempts, retry, self._rng)
        if delay is not None:
            await self._retry(envelope, failure, delay)
            return Nack(delay)
        await self.dead_letter(envelope, delivery, bug(error))
        return Ack()

    async def dead_letter(
        self,
        envelope: Envelope,
        delivery: Delivery,
        failure: Failure,
        *,
        reason: str | None = None,
    ) -> None:
        """Store an event that cannot be applied as dead, with its message for a later retry."""
        source, kind = envelope.data["source_system"], failure.kind.value

        async def end(db: AsyncConnection) -> bool:
            event_id = await self.event_of(db, envelope)
            kept = (await sync_events.lock(db, [event_id])).get(event_id)
            if kept is None or kept.status.final:
                return False
            dead = Transition(
                event_id,
                SyncStatus.DEAD,
                reason=reason,
                error_kind=kind,
                error_message=failure.message,
                count_attempt=True,
            )
            attempts = delivery.attempts
            await self._context.dead_letters.write(db, source, delivery, dead, attempts=attempts)
            return True

        if await in_transaction(self._context.engine, end):
            self._context.dead_letters.count(source, kind)

    async def _retry(self, envelope: Envelope, failure: Failure, delay_seconds: float) -> None:
        async def retry(db: AsyncConnection) -> None:
            retrying = Transition(
                await self.event_of(db, envelope),
                SyncStatus.RETRYING,
                error_kind=failure.kind.value,
                error_message=failure.message,
                count_attempt=True,
                retry_in=delay_seconds,
            )
            await sync_events.move(db, [retrying])

        await in_transaction(self._context.engine, retry)

    async def event_of(self, db: AsyncConnection, envelope: Envelope) -> str:
        """Return the id of the envelope's sync event; write the event if it is new."""
        event = received_event(envelope)
        await sync_events.insert(db, [event])
        if event.external_event_id is None:
            return event.id
        known = await sync_events.by_external_id(db, event.source_system, [event.external_event_id])
        return known[event.external_event_id].id
