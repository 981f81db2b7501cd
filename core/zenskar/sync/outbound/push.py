"""Make the external side equal to one record: plan, call, observe, until nothing is left."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.batcher import Batcher
from zenskar.db import connections as connection_states
from zenskar.db.driver.engine import by_keys, in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.errors import CallFailed, Failure, FailureKind, Unavailable
from zenskar.model.envelope import OUTBOUND, Envelope
from zenskar.model.record import IntentState
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.schema_catalog import Schema
from zenskar.sync import fanout, survivors, unit_of_work
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.calls import Call, Caller
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import RawMessage
from zenskar.sync.messages import event_of, read_envelope
from zenskar.sync.outbound.failures import FailureHandler, NextAction, postponed, recover
from zenskar.sync.outbound.intent_log import IntentLog, intent_id
from zenskar.sync.outbound.job import Ack, JobResult, Nack, Park, PushJob
from zenskar.sync.outbound.orphaned import wait_or_end
from zenskar.sync.outbound.planner import CallAnswer, PlannedStep, StepPlanner, note, over
from zenskar.sync.outbound.writes import StepWrites
from zenskar.sync.quarantine import bury, end_as_dead
from zenskar.sync.resilience import delete_guard
from zenskar.sync.resilience.circuit_breaker import CircuitBreaker
from zenskar.sync.resilience.delete_guard import DeleteGuard, TooManyDeletes
from zenskar.sync.survivors import Cause
from zenskar.sync.unit_of_work import UnitOfWork
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace

_log = get_logger(__name__)
T = TypeVar("T")

_TOGETHER = 64
"""How many tasks are decided on in one transaction, at most."""
_OFF_SECONDS = 5.0
"""How long a message waits for an integration that does not work in this process."""
_MOST_CALLS = 12
"""More than any chain of single faults needs; beyond it the external system is playing up."""


class OutboundSync:
    """Works off outbound messages. Every step is decided and stored before it is taken."""

    def __init__(
        self,
        context: SyncContext,
        caller: Caller,
        failure_handler: FailureHandler,
        circuit_breaker: CircuitBreaker,
        intent_log: IntentLog,
        *,
        accounts: AccountCheck,
    ) -> None:
        self._context = context
        self._caller = caller
        self._failure_handler = failure_handler
        self._circuit_breaker = circuit_breaker
        self._intent_log = intent_log
        self._accounts = accounts
        self._planner = StepPlanner(context.router, intent_log)
        self._beginning = Batcher(self._begin, most=_TOGETHER, key=lambda task: task.subject)
        self._answering = Batcher(
            self._take_in, most=_TOGETHER, key=lambda answer: answer.task.subject
        )

    async def process(self, envelope: Envelope, message: RawMessage) -> JobResult:
        """Work off one message; the record's present state counts, not the message's."""
        task = PushJob.of(envelope, message)
        if task.source not in self._context.connections:
            return await wait_or_end(self._context, task.event_id)
        if task.source in self._context.router.off:
            return Nack(_OFF_SECONDS)
        step: Call | JobResult = await self._start(task)
        for _ in range(_MOST_CALLS):
            if not isinstance(step, Call):
                return step
            step = await self._take_step(task, step)
        if not isinstance(step, Call):
            return step
        endless = Failure(FailureKind.TRANSIENT, f"not equal after {_MOST_CALLS} calls")
        return await self._setback(task, step, endless, NextAction.RETRY)

    async def bury(self, message: RawMessage, problem: str) -> None:
        """Keep a message that cannot be read as a dead letter."""
        await bury(self._context, message, problem, Direction.OUTBOUND)

    async def give_up(self, message: RawMessage, schema: Schema, problem: str) -> None:
        """End what a message asks for as dead; when not even that can be done, bury the message."""
        try:
            envelope = read_envelope(message.value, schema, Direction.OUTBOUND)
            event = event_of(envelope)
            await end_as_dead(self._context, event, message, "bug", problem, FailureKind.BUG)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the message itself can always be kept
            _log.error("outbound_failed", trace=trace(error))
            await self.bury(message, problem)

    async def _start(self, task: PushJob) -> Call | JobResult:
        try:
            if not await self._accounts.confirm(task.source):
                return Park()
            decided = await self._beginning.add(task)
        except CallFailed as error:
            return await self._failed(task, None, error.failure)
        return self._count(task, decided)

    async def _take_step(self, task: PushJob, call: Call) -> Call | JobResult:
        if call.pushes:
            waited = max(0.0, self._context.clock() - task.changed_at)
            self._context.metrics.outbound_seconds.labels(task.source).observe(waited)
        await self._context.failpoint("outbound.stored_intent")
        began = time.monotonic()
        try:
            seen = await self._caller.make(call)
            self._circuit_breaker.succeeded(call.source)
            self._context.backoff.succeeded(call.source)
            await self._context.failpoint("outbound.called")
            decided = await self._answering.add(CallAnswer(task, call, seen))
        except CallFailed as error:
            mine = time.monotonic() - began < self._intent_log.lease_seconds / 2
            return await self._failed(task, call, error.failure, mine=mine)
        except TooManyDeletes as error:
            await delete_guard.trip(self._context.engine, error)
            return Park()
        await self._context.failpoint("outbound.stored_answer")
        return self._count(task, decided)

    def _count(self, task: PushJob, decided: PlannedStep) -> Call | JobResult:
        metrics = self._context.metrics
        for conflict in decided.conflicts:
            metrics.conflicts.labels(task.source, conflict.winner.value).inc()
        if decided.succeeded:
            metrics.outbound_events.labels(task.source, "succeeded").inc()
        if decided.followed:
            self._context.wake(OUTBOUND)
        return decided.step

    async def _begin(self, tasks: Sequence[PushJob]) -> Sequence[PlannedStep]:
        """Plan the first step of each task, in one transaction."""

        async def work(db: AsyncConnection) -> list[PlannedStep]:
            events = await sync_events.lock(db, [task.event_id for task in tasks])
            states = await connection_states.states(db)
            paused = {name for name, state in states.items() if state.paused}
            backoff = self._context.backoff
            backoff.learn(states)
            writes, decided = self._intent_log.writes(), {}
            for task in tasks:
                if over(events.get(task.event_id)):
                    decided[task.event_id] = PlannedStep(Ack())
                elif task.source in paused:
                    decided[task.event_id] = PlannedStep(Park())
                elif (held := backoff.held(task.source)) is not None:
                    seconds = backoff.wait(task.source)
                    writes.moves.append(postponed(task, held, seconds))
                    decided[task.event_id] = PlannedStep(Nack(seconds))
            ready = [task for task in tasks if task.event_id not in decided]
            for group in _by_kind(ready, lambda task: task):
                looks = [task.external_id for task in group if task.external_id is not None]
                known = await self._load(db, group, looks)
                for task in group:
                    decided[task.event_id] = self._planner.begin(writes, task, known)
                await known.flush(db)
                await _look_for_survivors(db, writes, known, group, decided)
            await writes.store(db)
            return [decided[task.event_id] for task in tasks]

        return await by_keys(self._context.engine, work)

    async def _take_in(self, answers: Sequence[CallAnswer]) -> Sequence[PlannedStep]:
        """Take answers in and plan the next step of each task, in one transaction."""

        async def work(db: AsyncConnection) -> list[PlannedStep]:
            events = await sync_events.lock(db, [a.task.event_id for a in answers])
            writes, decided = self._intent_log.writes(), {}
            for group in _by_kind(answers, lambda answer: answer.task):
                seen = [answer.seen for answer in group if answer.seen is not None]
                known = await self._load(
                    db,
                    [answer.task for answer in group],
                    [each.external_id for each in seen],
                    [each.record_id for each in seen if each.record_id is not None],
                )
                for answer in group:
                    event = events.get(answer.task.event_id)
                    decided[answer.task.event_id] = self._planner.judge(
                        writes, known, event, answer
                    )
                names = [answer.task.event_id for answer in group]
                deletes = [name for name in names if decided[name].deletes]
                allowed = DeleteGuard.of(known.source.settings)
                await allowed.check(db, known.name, deletes)
                await known.flush(db)
                tasks = [answer.task for answer in group]
                await _look_for_survivors(db, writes, known, tasks, decided)
            await writes.store(db)
            return [decided[answer.task.event_id] for answer in answers]

        return await by_keys(self._context.engine, work)

    async def _failed(
        self, task: PushJob, call: Call | None, failure: Failure, *, mine: bool = True
    ) -> Call | JobResult:
        """`mine`: the push was held all the while, so nobody else can have sent it again."""
        await self._context.failpoint("outbound.failed")
        if failure.kind is FailureKind.NOT_VISIBLE and not await self._is_own_account(task):
            return Park()
        if task.external_id is not None and failure.kind is FailureKind.NOT_VISIBLE:
            return await in_transaction(self._context.engine, lambda c: self._unseen(c, task))
        recovery = recover(call, failure, mine=mine)
        if recovery.next is NextAction.LOOK and call is not None:
            looked = await in_transaction(self._context.engine, lambda c: self._look(c, task, call))
            return self._count(task, looked)
        what = recovery.next
        if what is NextAction.RETRY and await self._circuit_breaker.outage(
            task.source, task.subject
        ):
            what = NextAction.OUTAGE
        return await self._setback(task, call, failure, what, recovery.push)

    async def _is_own_account(self, task: PushJob) -> bool:
        """Ask again which account it is, since an object is not there that should be."""
        try:
            return await self._accounts.check_again(task.source)
        except CallFailed:
            return True

    async def _setback(
        self,
        task: PushJob,
        call: Call | None,
        failure: Failure,
        what: NextAction,
        push: IntentState | None = IntentState.UNKNOWN,
    ) -> JobResult:
        async def store(db: AsyncConnection) -> JobResult:
            event = (await sync_events.lock(db, [task.event_id])).get(task.event_id)
            if call is not None and call.pushes and push is not None:
                work = await self._load(db, [task])
                await self._intent_log.fail(db, work, call, failure, push)
                if over(event):
                    await fanout.enqueue(db, self._planner.leave(work, task))
                await work.flush(db)
            return await self._failure_handler.store(db, task, event, failure, what)

        return await in_transaction(self._context.engine, store)

    async def _unseen(self, db: AsyncConnection, task: PushJob) -> JobResult:
        """An object of which late news came cannot be seen: there is nothing to take in."""
        event = (await sync_events.lock(db, [task.event_id])).get(task.event_id)
        if not over(event):
            ended = Transition(task.event_id, SyncStatus.IGNORED, FailureKind.NOT_VISIBLE)
            await sync_events.move(db, [ended])
        return Ack()

    async def _look(self, db: AsyncConnection, task: PushJob, call: Call) -> PlannedStep:
        """The object seems gone: look before believing it, then plan again."""
        event = (await sync_events.lock(db, [task.event_id])).get(task.event_id)
        work, writes = await self._load(db, [task]), self._intent_log.writes()
        work.lose(task.record_id, intent_id(call), IntentState.FAILED)
        note(writes, event, {"answer_to": call.step.value, "verdict": "gone"})
        if over(event):
            writes.followers += self._planner.leave(work, task)
        decided = self._planner.go_on(writes, task, event, work, "in_sync")
        await work.flush(db)
        await writes.store(db)
        return decided

    async def _load(
        self,
        db: AsyncConnection,
        tasks: Sequence[PushJob],
        external_ids: Sequence[str] = (),
        record_ids: Sequence[str] = (),
    ) -> UnitOfWork:
        return await unit_of_work.load(
            db,
            self._context.connections[tasks[0].source],
            tasks[0].entity_type,
            record_ids=[*record_ids, *(task.record_id for task in tasks)],
            external_ids=external_ids,
        )


async def _look_for_survivors(
    db: AsyncConnection,
    writes: StepWrites,
    work: UnitOfWork,
    tasks: Sequence[PushJob],
    decided: dict[str, PlannedStep],
) -> None:
    """Have what outlives a record looked at, and the workers woken for that."""
    if not work.ended:
        return
    causes = {task.record_id: Cause(task.correlation_id, task.event_id) for task in tasks}
    found = await survivors.looks(db, work, causes)
    writes.looks += found
    for look in found:
        decided[look.causation_id] = replace(decided[look.causation_id], followed=True)


def _by_kind(items: Sequence[T], task_of: Callable[[T], PushJob]) -> Iterable[list[T]]:
    """Group items whose tasks are about one source system and one kind of entity."""
    groups: dict[tuple[str, str], list[T]] = defaultdict(list)
    for item in items:
        task = task_of(item)
        groups[task.source, task.entity_type].append(item)
    return (groups[kind] for kind in sorted(groups))
