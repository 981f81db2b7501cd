"""Process the failed calls of jobs: fetch the object of a refused push, or store the failure."""

from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import intents
from zenskar.db.driver.engine import in_transaction
from zenskar.db.driver.storable import is_indexable
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import EventState, Transition
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.kernel import StepKind
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.record import IntentState
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.outbound.calls import Call, anothers_object
from zenskar.sync.outbound.failure_handler import FailureHandler
from zenskar.sync.outbound.job import PushJob, load_unit
from zenskar.sync.outbound.planner import PlannedStep, StepPlanner, ended, is_mapped
from zenskar.sync.resilience.failures import FailureAction, NextAction, sent_before
from zenskar.sync.work import work_storage
from zenskar.sync.work.job_result import Ack, JobResult, Park
from zenskar.sync.work.unit_of_work import UnitOfWork


class FailedPush(NamedTuple):
    """A push whose call has failed."""

    call: Call
    failure: Failure


class FailedCalls:
    """Plans the next step of jobs whose call has failed."""

    def __init__(
        self,
        context: SyncContext,
        planner: StepPlanner,
        failure_handler: FailureHandler,
        accounts: AccountCheck,
    ) -> None:
        self._context = context
        self._planner = planner
        self._failure_handler = failure_handler
        self._accounts = accounts

    async def process(
        self, job: PushJob, call: Call | None, failure: Failure, *, held: bool = True
    ) -> PlannedStep:
        """Store a failure, or plan the fetch that it needs; `call` is None when its body failed.

        Unless the push was `held` throughout, another worker may have sent it again.
        """
        await self._context.failpoint("outbound.failed")
        if failure.kind is FailureKind.NOT_VISIBLE and not await self._is_own_account(job):
            return PlannedStep(Park())
        if job.external_id is not None and failure.kind is FailureKind.NOT_VISIBLE:
            ignored = await in_transaction(self._context.engine, lambda c: _ignore(c, job))
            return PlannedStep(ignored)
        if call is not None:
            failure = _checked(failure, call, held=held)
        action = await self._failure_handler.decide(job, call, failure, held=held)
        if action.next in {NextAction.LOOK, NextAction.LINK} and call is not None:
            return await self._fetch_instead(job, FailedPush(call, failure), action)
        return PlannedStep(await self.store(job, call, failure, action))

    async def store(
        self, job: PushJob, call: Call | None, failure: Failure, action: FailureAction
    ) -> JobResult:
        """Store a failure, and the state of its push; return the result of the job."""

        async def store(db: AsyncConnection) -> JobResult:
            event = (await sync_events.lock(db, [job.event_id])).get(job.event_id)
            if call is not None and call.pushes and action.push is not None:
                await self._fail_push(db, job, event, FailedPush(call, failure), action.push)
            return await self._failure_handler.store(db, job, event, failure, action.next)

        return await in_transaction(self._context.engine, store)

    async def _is_own_account(self, job: PushJob) -> bool:
        """Check the account again, because an expected object is missing."""
        try:
            return await self._accounts.check_again(job.source)
        except CallFailed:
            return True

    async def _fetch_instead(
        self, job: PushJob, push: FailedPush, action: FailureAction
    ) -> PlannedStep:
        """Plan the fetch that a refused push needs."""
        links = action.next is NextAction.LINK
        plan = self._link if links else self._look
        names = [push.failure.external_id or ""] if links else []

        async def plan_fetch(db: AsyncConnection) -> PlannedStep:
            event = (await sync_events.lock(db, [job.event_id])).get(job.event_id)
            work = await load_unit(db, self._context, [job], names)
            planned = plan(work, job, event, push)
            await work_storage.flush(db, work)
            await work_storage.store(db, [work])
            return planned

        try:
            return await in_transaction(self._context.engine, plan_fetch)
        except CallFailed as error:
            final = FailureAction(NextAction.DEAD_LETTER, action.push)
            return PlannedStep(await self.store(job, push.call, error.failure, final))

    def _look(
        self, work: UnitOfWork, job: PushJob, event: EventState | None, push: FailedPush
    ) -> PlannedStep:
        """Plan the fetch of an object that seems to be gone, or has another version.

        Raises `CallFailed` when the integration cannot make the body of a push.
        """
        call, kind = push.call, push.failure.kind
        work.lose(job.record_id, call.intent_id, IntentState.FAILED)
        verdict = kind.value if kind is FailureKind.STALE_VERSION else "gone"
        work.follow_ups.note(event, {"answer_to": call.step.value, "verdict": verdict})
        if ended(event):
            self._planner.hand_over(work, job)
        return self._planner.go_on(work, job, event, "in_sync")

    def _link(
        self, work: UnitOfWork, job: PushJob, event: EventState | None, push: FailedPush
    ) -> PlannedStep:
        """Plan the fetch of the object that refused a create, so that it is linked.

        Raises `CallFailed` when the object belongs to another record.
        """
        call, external_id = push.call, push.failure.external_id or ""
        known = work.mappings.get(external_id)
        if known is not None and not (known.active and known.entity_id == job.record_id):
            raise CallFailed(anothers_object(FailureKind.REJECTED, external_id, known.entity_id))
        work.settle(call.intent_id, IntentState.FAILED)
        detail: HistoryDetail = {"answer_to": call.step.value, "verdict": FailureKind.EXISTS.value}
        work.follow_ups.note(event, {**detail, "external_id": external_id})
        if ended(event):
            self._planner.hand_over(work, job)
        if is_mapped(work, job) or work.records[job.record_id].deleted or ended(event):
            return self._planner.go_on(work, job, event, "in_sync")
        step: HistoryDetail = {"step": StepKind.FETCH.value}
        work.follow_ups.moves.append(Transition(job.event_id, SyncStatus.PROCESSING, detail=step))
        return PlannedStep(
            Call(
                job.source, job.entity_type, job.record_id, StepKind.FETCH, external_id, links=True
            )
        )

    async def _fail_push(
        self,
        db: AsyncConnection,
        job: PushJob,
        event: EventState | None,
        push: FailedPush,
        state: IntentState,
    ) -> None:
        """Write the state of a push whose call failed."""
        work, call = await load_unit(db, self._context, [job]), push.call
        if push.failure.replayed:
            await intents.spend_key(db, call.intent_id)
        if state is IntentState.UNKNOWN:
            work.lose(call.record_id, call.intent_id, state)
        else:
            work.settle(call.intent_id, state)
        if ended(event):
            self._planner.hand_over(work, job)
        await work_storage.flush(db, work)
        await work_storage.store(db, [work])


async def _ignore(db: AsyncConnection, job: PushJob) -> JobResult:
    """End the event of a late webhook whose object is not visible: nothing can be applied."""
    event = (await sync_events.lock(db, [job.event_id])).get(job.event_id)
    if not ended(event):
        ignored = Transition(job.event_id, SyncStatus.IGNORED, FailureKind.NOT_VISIBLE)
        await sync_events.move(db, [ignored])
    return Ack()


def _checked(failure: Failure, call: Call, *, held: bool) -> Failure:
    """Return the failure of a create that exists as one that can be acted on.

    An object that refuses a repeated create may be the own one, so it is found by the record's id.
    """
    if failure.kind is not FailureKind.EXISTS:
        return failure
    if not is_indexable(failure.external_id):
        return replace(failure, kind=FailureKind.REJECTED)
    if sent_before(call.step, held=held):
        return replace(failure, kind=FailureKind.UNKNOWN_OUTCOME, replayed=True)
    return failure
