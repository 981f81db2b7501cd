"""Make the external side equal to one record: plan, call, observe, until nothing is left."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections as connection_states
from zenskar.db import sync_events
from zenskar.db.engine import in_transaction
from zenskar.db.sync_events import EventState, Transition
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.kernel import Outcome, StepKind, Verdict
from zenskar.model.envelope import OUTBOUND, Envelope
from zenskar.model.observation import Observation
from zenskar.model.record import IntentState
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.sync import fanout, guard, workset
from zenskar.sync.brake import Brake
from zenskar.sync.breaker import Breaker
from zenskar.sync.calls import Call, Caller
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import Message
from zenskar.sync.failures import Next, recover
from zenskar.sync.follow import change_of, follow_ups
from zenskar.sync.guard import DeleteGuard, TooManyDeletes
from zenskar.sync.ledger import IntentLedger, intent_id
from zenskar.sync.reading import bury
from zenskar.sync.setbacks import Setbacks
from zenskar.sync.tasks import Done, Later, Parked, Result, Task
from zenskar.sync.workset import Workset

_HELD_SECONDS = 1.0
_MOST_CALLS = 12
"""More than any chain of single faults needs; beyond it the external system is playing up."""


class OutboundSync:
    """Works off outbound messages. Every step is decided and stored before it is taken."""

    def __init__(
        self,
        context: SyncContext,
        caller: Caller,
        setbacks: Setbacks,
        breaker: Breaker,
        brake: Brake,
        ledger: IntentLedger,
    ) -> None:
        self._context = context
        self._caller = caller
        self._setbacks = setbacks
        self._breaker = breaker
        self._brake = brake
        self._ledger = ledger

    async def process(self, envelope: Envelope, message: Message) -> Result:
        """Work off one message; the record's present state counts, not the message's."""
        task = Task.of(envelope, message)
        if task.source not in self._context.connections:
            return Parked()
        if seconds := self._brake.wait(task.source):
            return Later(seconds)
        step: Call | Result = await self._start(task)
        for _ in range(_MOST_CALLS):
            if not isinstance(step, Call):
                return step
            step = await self._take_step(task, step)
        if not isinstance(step, Call):
            return step
        endless = Failure(FailureKind.TRANSIENT, f"not equal after {_MOST_CALLS} calls")
        return await self._setback(task, step, endless, Next.RETRY)

    async def bury(self, message: Message, problem: str) -> None:
        """Keep a message that cannot be read as a dead letter."""
        await bury(self._context, message, problem, Direction.OUTBOUND)

    async def _start(self, task: Task) -> Call | Result:
        try:
            return await in_transaction(self._context.engine, lambda c: self._begin(c, task))
        except CallFailed as error:
            return await self._failed(task, None, error.failure)

    async def _take_step(self, task: Task, call: Call) -> Call | Result:
        if call.pushes:
            waited = max(0.0, self._context.clock() - task.changed_at)
            self._context.metrics.outbound_seconds.labels(task.source).observe(waited)
        await self._context.passing("outbound.stored_intent")
        try:
            seen = await self._caller.make(call)
            self._breaker.succeeded(call.source)
            self._brake.succeeded(call.source)
            await self._context.passing("outbound.called")
            followed, step = await in_transaction(
                self._context.engine, lambda c: self._answered(c, task, call, seen)
            )
        except CallFailed as error:
            return await self._failed(task, call, error.failure)
        except TooManyDeletes as error:
            await guard.trip(self._context.engine, error)
            return Parked()
        await self._context.passing("outbound.stored_answer")
        if followed:
            self._context.wake(OUTBOUND)
        return step

    async def _begin(self, connection: AsyncConnection, task: Task) -> Call | Result:
        event = await sync_events.lock(connection, task.event_id)
        if _over(event):
            return Done()
        states = await connection_states.states(connection)
        if task.source in states and states[task.source].paused:
            return Parked()
        work = await self._load(connection, task)
        return await self._next(connection, task, work, reason="in_sync")

    async def _answered(
        self, connection: AsyncConnection, task: Task, call: Call, seen: Observation | None
    ) -> tuple[bool, Call | Result]:
        """Take an answer in and plan the next step, in one transaction."""
        event = await sync_events.lock(connection, task.event_id)
        work = await self._load(connection, task, seen)
        detail: dict[str, Any] = {"answer_to": call.step.value}
        followers: list[tuple[fanout.RecordChange, str]] = []
        if seen is None:
            work.settle(intent_id(call), IntentState.FAILED)
            detail["verdict"] = "not_found"
        else:
            record_id, outcome = work.observe(seen)
            if outcome.verdict is Verdict.DUPLICATE and not _is_mapped(work, task):
                raise CallFailed(_anothers_object(seen))
            detail |= workset.describe(work, record_id, outcome)
            detail["external_id"] = seen.external_id
            await self._mark(connection, task, outcome)
            for conflict in outcome.conflicts:
                self._context.metrics.conflicts.labels(task.source, conflict.winner.value).inc()
            followers = follow_ups(
                work,
                record_id or task.record_id,
                outcome,
                self._context.router.owners_of(task.entity_type),
                correlation_id=task.correlation_id,
                causation_id=task.event_id,
            )
        await _note(connection, event, detail)
        reason = "pushed" if call.pushes else "in_sync"
        if _over(event):
            followers += self._leave(work, task)
        await fanout.enqueue(connection, followers)
        return bool(followers), await self._go_on(connection, task, event, work, reason)

    async def _mark(self, connection: AsyncConnection, task: Task, outcome: Outcome) -> None:
        """Let an event be found by the delete or the conflict that its answer brought."""
        if outcome.delete_record:
            allowed = DeleteGuard.of(self._context.connections[task.source].settings)
            await allowed.check(connection, task.source, 1)
            await sync_events.mark(connection, task.event_id, sync_events.DELETED)
        elif outcome.conflicts:
            await sync_events.mark(connection, task.event_id, sync_events.CONFLICT)

    def _leave(self, work: Workset, task: Task) -> list[tuple[fanout.RecordChange, str]]:
        """Another worker took over while the call was under way and has ended the event.

        The answer counts all the same; what it leaves to do gets an event of its own.
        """
        if work.plan(task.record_id).kind in {StepKind.NOTHING, StepKind.WAIT}:
            return []
        change = change_of(
            work,
            task.record_id,
            fanout.RESYNC,
            correlation_id=task.correlation_id,
            causation_id=task.event_id,
        )
        return [(change, task.source)]

    async def _go_on(
        self,
        connection: AsyncConnection,
        task: Task,
        event: EventState | None,
        work: Workset,
        reason: str,
    ) -> Call | Result:
        if _over(event):
            await work.flush(connection)
            return Done()
        return await self._next(connection, task, work, reason=reason)

    async def _next(
        self, connection: AsyncConnection, task: Task, work: Workset, *, reason: str
    ) -> Call | Result:
        step = work.plan(task.record_id)
        if step.kind is StepKind.DETACH:
            work.detach(task.record_id)
            step, reason = work.plan(task.record_id), "detached"
        mapping = work.by_record.get(task.record_id)
        external_id = mapping.external_id if mapping is not None else None
        if step.kind is StepKind.NOTHING:
            await work.flush(connection)
            await sync_events.move(
                connection,
                [Transition(task.event_id, SyncStatus.SUCCEEDED, reason, external_id=external_id)],
            )
            self._context.metrics.outbound_events.labels(task.source, "succeeded").inc()
            return Done()
        if step.kind is StepKind.WAIT:
            await work.flush(connection)
            return Later(_HELD_SECONDS)
        call = await self._ledger.write_down(connection, task, work, step)
        await work.flush(connection)
        return call

    async def _failed(self, task: Task, call: Call | None, failure: Failure) -> Call | Result:
        await self._context.passing("outbound.failed")
        recovery = recover(call, failure)
        if recovery.next is Next.LOOK and call is not None:
            return await in_transaction(self._context.engine, lambda c: self._look(c, task, call))
        what = recovery.next
        if what is Next.RETRY and await self._breaker.outage(task.source, task.record_id):
            what = Next.OUTAGE
        return await self._setback(task, call, failure, what, recovery.push)

    async def _setback(
        self,
        task: Task,
        call: Call | None,
        failure: Failure,
        what: Next,
        push: IntentState | None = IntentState.UNKNOWN,
    ) -> Result:
        async def store(connection: AsyncConnection) -> Result:
            event = await sync_events.lock(connection, task.event_id)
            if call is not None and call.pushes and push is not None:
                work = await self._load(connection, task)
                await self._ledger.fail(connection, work, call, failure, push)
                if _over(event):
                    await fanout.enqueue(connection, self._leave(work, task))
                await work.flush(connection)
            return await self._setbacks.store(connection, task, event, failure, what)

        return await in_transaction(self._context.engine, store)

    async def _look(self, connection: AsyncConnection, task: Task, call: Call) -> Call | Result:
        """The object seems gone: look before believing it, then plan again."""
        event = await sync_events.lock(connection, task.event_id)
        work = await self._load(connection, task)
        work.lose(task.record_id, intent_id(call), IntentState.FAILED)
        detail = {"answer_to": call.step.value, "verdict": "gone"}
        await _note(connection, event, detail)
        if _over(event):
            await fanout.enqueue(connection, self._leave(work, task))
        return await self._go_on(connection, task, event, work, "in_sync")

    async def _load(
        self, connection: AsyncConnection, task: Task, seen: Observation | None = None
    ) -> Workset:
        return await workset.load(
            connection,
            self._context.connections[task.source],
            task.entity_type,
            record_ids=[task.record_id],
            external_ids=[seen.external_id] if seen is not None else [],
        )


def _is_mapped(work: Workset, task: Task) -> bool:
    mapping = work.by_record.get(task.record_id)
    return mapping is not None and mapping.active


def _anothers_object(seen: Observation) -> Failure:
    """To go on would make a second object, or take one from the record that has it."""
    return Failure(
        FailureKind.BUG,
        f"the external system answered with {seen.external_id}, which belongs to another record",
        code="anothers_object",
    )


async def _note(
    connection: AsyncConnection, event: EventState | None, detail: dict[str, Any]
) -> None:
    if event is not None:
        status = event.status if event.status.final else SyncStatus.PROCESSING
        await sync_events.note(connection, event.id, status, detail)


def _over(event: EventState | None) -> bool:
    return event is None or event.status.final
