"""Decide what a failed call means for its event, its push and its connection, and store it."""

import random
from dataclasses import dataclass
from enum import Enum

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import EventState, Transition
from zenskar.errors import Failure, FailureKind
from zenskar.kernel import StepKind
from zenskar.model.record import IntentState
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.context import SyncContext
from zenskar.sync.outbound.calls import Call
from zenskar.sync.outbound.job import Ack, JobResult, Nack, Park, PushJob
from zenskar.sync.resilience.circuit_breaker import OUTAGE
from zenskar.sync.resilience.rate_limit import HELD, hold_back
from zenskar.telemetry.logs import get_logger

_log = get_logger(__name__)


class NextAction(Enum):
    """What becomes of the sync event."""

    RETRY = "retry"
    """Back off; counts as an attempt."""
    WAIT = "wait"
    """Come back later; the call was not made, so no attempt is used up."""
    PAUSE = "pause"
    """Pause the connection and come back when it is resumed."""
    OUTAGE = "outage"
    """Pause the connection until the external system answers again; no attempt is used up."""
    LOOK = "look"
    """Look at the external object, then plan again, at once."""
    GIVE_UP = "give_up"
    """It can never succeed as it is."""


@dataclass(frozen=True, slots=True)
class FailureAction:
    """What becomes of the event, and of the push if there was one."""

    next: NextAction
    push: IntentState | None = None


def recover(  # noqa: PLR0911 - one class, one line
    call: Call | None, failure: Failure, *, mine: bool = True
) -> FailureAction:
    """Decide about a failed call; None when no call was made, because its body failed.

    Unless the push was `mine` all the while, another worker may have sent it again.
    """
    if call is None or not call.pushes:
        return FailureAction(_without_effect(failure.kind))
    # What is refused was not done, so it is made anew. Only a create that was sent more than once
    # with its key may have succeeded another time, so it is sent again with that key.
    again = call.step is StepKind.RESEND or (call.step is StepKind.CREATE and not mine)
    refused = IntentState.UNKNOWN if again else IntentState.FAILED
    match failure.kind:
        case FailureKind.UNKNOWN_OUTCOME | FailureKind.TRANSIENT:
            return FailureAction(NextAction.RETRY, IntentState.UNKNOWN)
        case FailureKind.RATE_LIMITED:
            return FailureAction(NextAction.WAIT, refused)
        case FailureKind.CREDENTIALS:
            return FailureAction(NextAction.PAUSE, refused)
        case FailureKind.GONE | FailureKind.NOT_VISIBLE if call.external_id is not None:
            return FailureAction(NextAction.LOOK, IntentState.FAILED)
        case FailureKind.BUG:
            # It may have failed on the answer, after the effect.
            return FailureAction(NextAction.GIVE_UP, IntentState.UNKNOWN)
        case _:
            return FailureAction(NextAction.GIVE_UP, IntentState.FAILED)


def _without_effect(kind: FailureKind) -> NextAction:
    match kind:
        case FailureKind.UNKNOWN_OUTCOME | FailureKind.TRANSIENT:
            return NextAction.RETRY
        case FailureKind.RATE_LIMITED:
            return NextAction.WAIT
        case FailureKind.CREDENTIALS:
            return NextAction.PAUSE
        case _:
            return NextAction.GIVE_UP


def postponed(task: PushJob, failure: Failure, delay: float | None) -> Transition:
    """Return the step of an event that comes back later, and has used up no attempt."""
    return Transition(
        task.event_id,
        SyncStatus.PENDING,
        reason=failure.kind.value,
        error_kind=failure.kind.value,
        error_message=failure.message,
        retry_in=delay,
    )


class FailureHandler:
    """Decides whether an event is tried again, waits or is given up, and writes that down."""

    def __init__(self, context: SyncContext, rng: random.Random) -> None:
        self._context = context
        self._rng = rng

    async def store(
        self,
        db: AsyncConnection,
        task: PushJob,
        event: EventState | None,
        failure: Failure,
        what: NextAction,
    ) -> JobResult:
        """Write the failure down and say when to come back, if at all."""
        if event is None or event.status.final:
            # Another worker took over and has ended it; this failure is no news any more.
            return Ack()
        if what is NextAction.WAIT and failure.code == HELD:
            delay = self._context.backoff.wait(task.source)
            await self._postpone(db, task, failure, delay)
            return Nack(delay)
        attempts, retry = event.attempts + 1, self._context.retry(task.source)
        await connections.note_error(db, task.source, failure.kind, failure.message)
        if what in {NextAction.PAUSE, NextAction.OUTAGE}:
            reason = OUTAGE if what is NextAction.OUTAGE else failure.kind.value
            await self._pause(db, task, failure, reason)
            await self._postpone(db, task, failure)
            return Park()
        if what is NextAction.WAIT:
            await hold_back(self._context.backoff, db, task.source, failure.retry_after)
            delay = self._context.backoff.wait(task.source)
            await self._postpone(db, task, failure, delay)
            return Nack(delay)
        if what is NextAction.RETRY and not retry.used_up(attempts):
            delay = max(failure.retry_after or 0.0, retry.delay(attempts, self._rng))
            await self._end_attempt(db, task, failure, SyncStatus.RETRYING, delay)
            return Nack(delay)
        await self._end_attempt(db, task, failure, SyncStatus.DEAD, attempts=attempts)
        self._context.dead_letters.count(task.source, failure.kind.value)
        self._context.metrics.outbound_events.labels(task.source, "dead").inc()
        return Ack()

    async def _end_attempt(
        self,
        db: AsyncConnection,
        task: PushJob,
        failure: Failure,
        status: SyncStatus,
        delay: float | None = None,
        *,
        attempts: int = 0,
    ) -> None:
        _log.warning(
            "sync_attempt_failed",
            source=task.source,
            sync_event_id=task.event_id,
            status=status.value,
            kind=failure.kind.value,
            error=failure.message,
        )
        transition = Transition(
            task.event_id,
            status,
            reason=failure.code,
            error_kind=failure.kind.value,
            error_message=failure.message,
            count_attempt=True,
            retry_in=delay,
        )
        if status is SyncStatus.DEAD:
            await self._context.dead_letters.write(
                db, task.source, task.delivery, transition, attempts=attempts
            )
        else:
            await sync_events.move(db, [transition])

    async def _postpone(
        self,
        db: AsyncConnection,
        task: PushJob,
        failure: Failure,
        delay: float | None = None,
    ) -> None:
        """Come back later without using up an attempt."""
        await sync_events.move(db, [postponed(task, failure, delay)])

    async def _pause(
        self, db: AsyncConnection, task: PushJob, failure: Failure, reason: str
    ) -> None:
        first = await connections.pause(
            db, task.source, reason, failure.kind.value, failure.message
        )
        if first:
            _log.error("connection_paused", source=task.source, reason=reason)
