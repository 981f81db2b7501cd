"""Make the external side equal to one record: plan, call and observe until both are equal."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.batcher import Batcher
from zenskar.bus.port import Bus, Delivery
from zenskar.db import connections as connection_states
from zenskar.db.driver.engine import by_keys
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import EventState, Transition
from zenskar.errors import CallFailed, Failure, FailureKind, Unavailable
from zenskar.model.envelope import OUTBOUND, Envelope
from zenskar.model.record import IntentState
from zenskar.model.sync_event import Direction
from zenskar.schema_catalog import Schema
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.message_decoder import event_of, read_envelope
from zenskar.sync.outbound.calls import Call, Caller
from zenskar.sync.outbound.enrichment import PushEnrichment
from zenskar.sync.outbound.failed_calls import FailedCalls
from zenskar.sync.outbound.failure_handler import FailureHandler, postponed
from zenskar.sync.outbound.job import PushJob, by_unit, load_unit
from zenskar.sync.outbound.orphaned import wait_or_end
from zenskar.sync.outbound.planner import (
    CallAnswer,
    PlannedStep,
    StepPlanner,
    ended,
)
from zenskar.sync.quarantine import end_as_dead, quarantine
from zenskar.sync.resilience import delete_guard
from zenskar.sync.resilience.circuit_breaker import CircuitBreaker
from zenskar.sync.resilience.delete_guard import DeleteGuard, TooManyDeletes
from zenskar.sync.resilience.failures import FailureAction, NextAction
from zenskar.sync.work import work_storage
from zenskar.sync.work.job_result import Ack, Acked, JobResult, Nack, Park
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace

_log = get_logger(__name__)

_BATCH = 64
"""The most jobs that one transaction plans."""
_OFF_SECONDS = 5.0
"""The delay of a message whose integration does not work in this process."""
_MOST_CALLS = 12
"""More than any chain of single faults needs; more calls mean a faulty external system."""


class OutboundSync:
    """Processes outbound messages. Every step is planned and stored before it is made."""

    def __init__(
        self,
        context: SyncContext,
        caller: Caller,
        failure_handler: FailureHandler,
        circuit_breaker: CircuitBreaker,
        *,
        bus: Bus,
        accounts: AccountCheck,
    ) -> None:
        self._context = context
        self._bus = bus
        self._caller = caller
        self._circuit_breaker = circuit_breaker
        self._accounts = accounts
        self._planner = StepPlanner(context.router, context.translator, context.broadcaster)
        self._failed_calls = FailedCalls(context, self._planner, failure_handler, accounts)
        self._enrichment = PushEnrichment(context)
        self._first_steps = Batcher(self._begin, most=_BATCH, key=lambda job: job.subject)
        self._answers = Batcher(self._apply, most=_BATCH, key=lambda answer: answer.job.subject)

    async def process(self, envelope: Envelope, delivery: Delivery) -> JobResult:
        """Process one message by the present state of its record, not the message's.

        Raises `Unavailable` when the database is unavailable.
        """
        job = PushJob.of(envelope, delivery)
        if job.source not in self._context.connections:
            return await wait_or_end(self._context, job.event_id)
        if job.source in self._context.router.off:
            return Nack(_OFF_SECONDS)
        step: Call | JobResult = await self._start(job)
        for _ in range(_MOST_CALLS):
            if not isinstance(step, Call):
                return step
            step = await self._make_call(job, step)
        if not isinstance(step, Call):
            return step
        endless = Failure(FailureKind.TRANSIENT, f"not equal after {_MOST_CALLS} calls")
        action = FailureAction(NextAction.RETRY, IntentState.UNKNOWN)
        return await self._failed_calls.store(job, step, endless, action)

    async def dead_letter(self, delivery: Delivery, schema: Schema, problem: str) -> None:
        """End the event of a message as dead; if that fails too, quarantine the message.

        Raises `Unavailable` when the database is unavailable.
        """
        try:
            envelope = read_envelope(delivery.value, schema, Direction.OUTBOUND)
            event = event_of(envelope)
            await end_as_dead(
                self._context, event, delivery, FailureKind.BUG.value, problem, FailureKind.BUG
            )
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the message itself can always be kept
            _log.error("outbound_failed", trace=trace(error))
            await quarantine(self._context, delivery, problem, Direction.OUTBOUND)

    async def _start(self, job: PushJob) -> Call | JobResult:
        try:
            if not await self._accounts.confirm(job.source):
                return Park()
            planned = await self._first_steps.submit(job)
        except CallFailed as error:
            planned = await self._failed_calls.process(job, None, error.failure)
        return self._count(job, planned)

    async def _make_call(self, job: PushJob, call: Call) -> Call | JobResult:
        if call.pushes:
            waited = max(0.0, self._context.clock() - job.changed_at)
            self._context.metrics.outbound_seconds.labels(job.source).observe(waited)
        await self._context.failpoint("outbound.stored_intent")
        began = time.monotonic()
        if call.pushes:
            call = await self._enrichment.enrich(call, job.event_id)
        try:
            seen = await self._caller.make(call)
            self._circuit_breaker.succeeded(call.source)
            self._context.backoff.succeeded(call.source)
            await self._context.failpoint("outbound.called")
            planned = await self._answers.submit(CallAnswer(job, call, seen))
        except CallFailed as error:
            held = time.monotonic() - began < self._lease_seconds(job.source) / 2
            planned = await self._failed_calls.process(job, call, error.failure, held=held)
            return self._count(job, planned)
        except TooManyDeletes as error:
            await delete_guard.trip(self._context.engine, self._context.broadcaster, error)
            return Park()
        await self._context.failpoint("outbound.stored_answer")
        return self._count(job, planned)

    def _count(self, job: PushJob, planned: PlannedStep) -> Call | JobResult:
        metrics = self._context.metrics
        for conflict in planned.conflicts:
            metrics.conflicts.labels(job.source, conflict.winner.value).inc()
        if planned.succeeded:
            metrics.outbound_events.labels(job.source, "succeeded").inc()
        return planned.step

    async def _begin(self, jobs: Sequence[PushJob]) -> Sequence[PlannedStep]:
        """Plan the first step of each job, in one transaction."""

        async def begin_batch(db: AsyncConnection) -> tuple[list[PlannedStep], bool]:
            events = await sync_events.lock(db, [job.event_id for job in jobs])
            planned, moves = await self._held_up(db, jobs, events)
            works = []
            for group in by_unit([j for j in jobs if j.event_id not in planned], lambda job: job):
                looks = [job.external_id for job in group if job.external_id is not None]
                work = await load_unit(db, self._context, group, looks)
                for job in group:
                    failed = events[job.event_id].attempts > 0
                    planned[job.event_id] = self._planner.begin(work, job, failed=failed)
                await work_storage.flush(db, work)
                works.append(work)
            followed = await work_storage.store(db, works, moves)
            return await self._acked(db, jobs, planned), followed

        return self._wake(*await by_keys(self._context.engine, begin_batch))

    async def _held_up(
        self, db: AsyncConnection, jobs: Sequence[PushJob], events: Mapping[str, EventState]
    ) -> tuple[dict[str, PlannedStep], list[Transition]]:
        """Return the steps of jobs that have ended or wait, and the transitions of those."""
        states = await connection_states.states(db)
        backoff = self._context.backoff
        backoff.learn(states)
        planned: dict[str, PlannedStep] = {}
        moves: list[Transition] = []
        for job in jobs:
            if ended(events.get(job.event_id)):
                planned[job.event_id] = PlannedStep(Ack())
            elif job.source in states and states[job.source].paused:
                planned[job.event_id] = PlannedStep(Park())
            elif (held := backoff.held(job.source)) is not None:
                seconds = backoff.wait(job.source)
                moves.append(postponed(job, held, seconds))
                planned[job.event_id] = PlannedStep(Nack(seconds))
        return planned, moves

    async def _apply(self, answers: Sequence[CallAnswer]) -> Sequence[PlannedStep]:
        """Apply answers and plan the next step of each job, in one transaction."""

        async def apply_batch(db: AsyncConnection) -> tuple[list[PlannedStep], bool]:
            events = await sync_events.lock(db, [answer.job.event_id for answer in answers])
            planned, works = {}, []
            for group in by_unit(answers, lambda answer: answer.job):
                seen = [answer.seen for answer in group if answer.seen is not None]
                work = await load_unit(
                    db, self._context, [answer.job for answer in group], seen=seen
                )
                for answer in group:
                    name = answer.job.event_id
                    planned[name] = self._planner.apply(work, events.get(name), answer)
                names = [answer.job.event_id for answer in group]
                deletes = [name for name in names if planned[name].deletes]
                if deletes:
                    allowed = DeleteGuard.of(work.source.settings)
                    await allowed.check(db, work.name, deletes)
                await work_storage.flush(db, work)
                works.append(work)
            followed = await work_storage.store(db, works)
            jobs = [answer.job for answer in answers]
            return await self._acked(db, jobs, planned), followed

        return self._wake(*await by_keys(self._context.engine, apply_batch))

    async def _acked(
        self, db: AsyncConnection, jobs: Sequence[PushJob], planned: Mapping[str, PlannedStep]
    ) -> list[PlannedStep]:
        """Acknowledge the messages of ended jobs in this transaction, and return all steps."""
        steps = [(job, planned[job.event_id]) for job in jobs]
        over = [job.delivery for job, step in steps if isinstance(step.step, Ack)]
        if over:
            await self._bus.ack_in(db, over)
        acked = Acked()
        return [replace(s, step=acked) if isinstance(s.step, Ack) else s for _, s in steps]

    def _wake(self, planned: list[PlannedStep], followed: bool) -> list[PlannedStep]:
        """Wake the workers if messages were enqueued."""
        if followed:
            self._context.wake(OUTBOUND)
        return planned

    def _lease_seconds(self, source: str) -> float:
        return self._context.connections[source].settings.intent_lease_seconds
