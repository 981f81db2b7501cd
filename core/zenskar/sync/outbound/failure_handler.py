"""Store what a failed call means for its event, its push and its connection."""

import random
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import EventState, Transition
from zenskar.errors import Failure
from zenskar.model.sync_event import SyncStatus
from zenskar.sync import announcements
from zenskar.sync.context import SyncContext
from zenskar.sync.outbound.calls import Call
from zenskar.sync.outbound.job import PushJob
from zenskar.sync.resilience.circuit_breaker import OUTAGE, CircuitBreaker
from zenskar.sync.resilience.failures import (
    FailureAction,
    NextAction,
    action_after_push,
    action_of,
    retry_delay,
)
from zenskar.sync.resilience.rate_limit import HELD
from zenskar.sync.work.job_result import Ack, JobResult, Nack, Park
from zenskar.telemetry.logs import get_logger

_log = get_logger(__name__)


def postponed(job: PushJob, failure: Failure, delay: float | None) -> Transition:
    """Return the transition of an event that waits without using up an attempt."""
    return Transition(
        job.event_id,
        SyncStatus.PENDING,
        reason=failure.kind.value,
        error_kind=failure.kind.value,
        error_message=failure.message,
        retry_in=delay,
    )


class FailureHandler:
    """Decides about the failures of outbound jobs, and stores the decisions."""

    def __init__(
        self, context: SyncContext, circuit_breaker: CircuitBreaker, rng: random.Random
    ) -> None:
        self._context = context
        self._circuit_breaker = circuit_breaker
        self._rng = rng

    async def decide(
        self, job: PushJob, call: Call | None, failure: Failure, *, held: bool
    ) -> FailureAction:
        """Return the action after a failed call; `call` is None when its body failed.

        Unless the push was `held` throughout, another worker may have sent it again.
        """
        if call is None or not call.pushes:
            action = action_of(failure.kind)
        else:
            has_object = call.external_id is not None
            action = action_after_push(failure.kind, call.step, has_object=has_object, held=held)
        if action.next is NextAction.RETRY and await self._circuit_breaker.outage(
            job.source, job.subject, failure
        ):
            return replace(action, next=NextAction.OUTAGE)
        return action

    async def store(
        self,
        db: AsyncConnection,
        job: PushJob,
        event: EventState | None,
        failure: Failure,
        what: NextAction,
    ) -> JobResult:
        """Store the failure; return whether and when the job is delivered again."""
        if event is None or event.status.final:
            # Another worker took over and has ended the event; this failure no longer matters.
            return Ack()
        if what is NextAction.WAIT and failure.code == HELD:
            left = max(self._context.backoff.wait(job.source), failure.retry_after or 0.0)
            return await self._wait(db, job, failure, left)
        attempts = event.attempts + 1
        await connections.note_error(db, job.source, failure.kind, failure.message)
        if what in {NextAction.PAUSE, NextAction.OUTAGE}:
            reason = OUTAGE if what is NextAction.OUTAGE else failure.kind.value
            await self._pause(db, job, failure, reason)
            await self._postpone(db, job, failure)
            return Park()
        if what is NextAction.WAIT:
            left = await self._context.hold_back(db, job.source, failure)
            return await self._wait(db, job, failure, left)
        retry = self._context.retry(job.source)
        if (delay := retry_delay(failure, attempts, retry, self._rng)) is not None:
            await self._end_attempt(db, job, failure, SyncStatus.RETRYING, delay)
            return Nack(delay)
        await self._end_attempt(db, job, failure, SyncStatus.DEAD, attempts=attempts)
        self._context.dead_letters.count(job.source, failure.kind.value)
        self._context.metrics.outbound_events.labels(job.source, "dead").inc()
        return Ack()

    async def _wait(
        self, db: AsyncConnection, job: PushJob, failure: Failure, delay: float
    ) -> Nack:
        await self._postpone(db, job, failure, delay)
        return Nack(delay)

    async def _end_attempt(
        self,
        db: AsyncConnection,
        job: PushJob,
        failure: Failure,
        status: SyncStatus,
        delay: float | None = None,
        *,
        attempts: int = 0,
    ) -> None:
        _log.warning(
            "sync_attempt_failed",
            source=job.source,
            sync_event_id=job.event_id,
            status=status.value,
            kind=failure.kind.value,
            error=failure.message,
        )
        transition = Transition(
            job.event_id,
            status,
            reason=failure.code,
            error_kind=failure.kind.value,
            error_message=failure.message,
            count_attempt=True,
            retry_in=delay,
        )
        if status is SyncStatus.DEAD:
            await self._context.dead_letters.write(
                db, job.source, job.delivery, transition, attempts=attempts
            )
        else:
            await sync_events.move(db, [transition])

    async def _postpone(
        self,
        db: AsyncConnection,
        job: PushJob,
        failure: Failure,
        delay: float | None = None,
    ) -> None:
        """Make the event wait without using up an attempt."""
        await sync_events.move(db, [postponed(job, failure, delay)])

    async def _pause(
        self, db: AsyncConnection, job: PushJob, failure: Failure, reason: str
    ) -> None:
        await announcements.pause(
            db,
            self._context.broadcaster,
            job.source,
            reason,
            error_kind=failure.kind.value,
            error_message=failure.message,
        )
