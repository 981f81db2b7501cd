"""Apply the plan of a join: every step first checks that both sides are as planned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar import kernel
from zenskar.db import connections, mappings
from zenskar.db.connections import PAUSED_BY_OPERATOR
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import CallFailed, StateConflict
from zenskar.ids import new_id
from zenskar.kernel.match import match
from zenskar.model.envelope import OUTBOUND
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import MappingState
from zenskar.ops.join.join_plan import JoinPlan, JoinStep, JoinStepKind
from zenskar.ops.join.join_planner import link_fates, matched_by
from zenskar.ops.plan_file import digest_of
from zenskar.ops.plan_result import PlanResult
from zenskar.sync import fanout
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.fanout import RecordChange
from zenskar.sync.reconcile.checkpoint import check_ready
from zenskar.sync.reconcile.comparator import OF_ONE_OBJECT
from zenskar.sync.reconcile.publisher import NotRead, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, Snapshot, together
from zenskar.sync.reconcile.report import OnProgress, ReconcileProgress, silent
from zenskar.sync.reconcile.wait import EventWaiter
from zenskar.sync.work import work_storage
from zenskar.sync.work.unit_of_work import UnitOfWork

_BATCH = 50


class _Checked(NamedTuple):
    """A step about an object, with its snapshot, which may be published."""

    step: JoinStep
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class JoinApplier:
    """Makes the steps of a plan, a batch at a time. A repeated run skips the steps that are done.

    A link is an event that names the record, as if the object carried the record's id.
    """

    context: SyncContext
    accounts: AccountCheck
    reader: ExternalReader
    publisher: SnapshotPublisher
    waiter: EventWaiter

    async def apply(self, plan: JoinPlan, *, on_progress: OnProgress = silent) -> PlanResult:
        """Make all steps whose objects and records are as planned.

        A failing external system ends the run with a problem. Raises `StateConflict` when the
        connection belongs to another account than the plan, `Unavailable` when no worker processes
        the events, and the errors of `check_ready`.
        """
        result = PlanResult(plan.source, plan.entity_type, len(plan.steps))
        try:
            account = await check_ready(
                self.context,
                self.accounts,
                plan.source,
                plan.entity_type,
                allowed=(PAUSED_BY_OPERATOR,),
            )
            if account != plan.account:
                raise StateConflict(f"the plan was made for another account of {plan.source}")
            await self._apply(plan, result, on_progress)
        except CallFailed as error:
            result.problem = str(error)
        return result

    async def _apply(self, plan: JoinPlan, result: PlanResult, on_progress: OnProgress) -> None:
        done = 0
        inward = [step for step in plan.steps if step.external_id is not None]
        outward = [step for step in plan.steps if step.external_id is None]
        for make, steps in ((self._join_objects, inward), (self._create_objects, outward)):
            for start in range(0, len(steps), _BATCH):
                some = steps[start : start + _BATCH]
                await make(plan, some, result)
                done += len(some)
                found = len(result.skipped)
                on_progress(ReconcileProgress("apply", done, result.steps, found))

    async def _join_objects(
        self, plan: JoinPlan, steps: Sequence[JoinStep], result: PlanResult
    ) -> None:
        """Link objects, and create records for objects."""
        fetched = await self._fetch(plan, steps, result)
        source = plan.source

        async def check(db: AsyncConnection) -> list[_Checked]:
            ready = await self._check(db, plan, fetched, result)
            await db.rollback()
            return ready

        ready = await in_transaction(self.context.engine, check)
        named = [_named(each) for each in ready]
        published = await self.publisher.publish(source, named, ObservationKind.FETCH, new_id())
        await self.waiter.wait(source, published.event_ids)
        names = [each.seen.external_id for each in named]
        owners = await in_transaction(
            self.context.engine, lambda c: mappings.owners(c, source, plan.entity_type, names)
        )
        for step, _ in ready:
            if owners.get(step.external_id or "") == step.record_id:
                result.done += 1
            else:
                _skip(result, step, "it was not applied: see `zenskar events list`")

    async def _fetch(
        self, plan: JoinPlan, steps: Sequence[JoinStep], result: PlanResult
    ) -> list[_Checked]:
        """Fetch the present state of each object. Raises `CallFailed` when the system fails."""
        answers = await together(
            self.reader.fetch(plan.source, plan.entity_type, step.external_id or "")
            for step in steps
        )
        found = []
        for step, answer in zip(steps, answers, strict=True):
            if not isinstance(answer, CallFailed):
                found.append(_Checked(step, answer))
            elif answer.failure.kind in OF_ONE_OBJECT:
                _skip(result, step, f"the object cannot be read: {answer.failure.message}")
            else:
                raise answer
        return found

    async def _check(
        self,
        db: AsyncConnection,
        plan: JoinPlan,
        fetched: Iterable[_Checked],
        result: PlanResult,
    ) -> list[_Checked]:
        """Return the steps whose object and record are as planned."""
        read = [(each, self._observation(plan, each)) for each in fetched]
        seen = [each for _, each in read if isinstance(each, Observation)]
        connected = self.context.connections[plan.source]
        connected = matched_by(connected, plan.entity_type, plan.match_by)
        work = await work_storage.load(db, connected, plan.entity_type, seen=seen)
        ready = []
        for each, observed in read:
            if isinstance(observed, NotRead):
                _skip(result, each.step, f"the object cannot be read: {observed.why}")
            elif _is_done(work, each.step):
                result.already_done += 1
            elif (why := _find_change(work, plan, each.step, observed)) is not None:
                _skip(result, each.step, why)
            else:
                ready.append(each)
        return ready

    def _observation(self, plan: JoinPlan, checked: _Checked) -> Observation | NotRead:
        """Return what an object shows; a link names the planned record."""
        kind = ObservationKind.FETCH
        seen = self.publisher.observation(plan.source, checked.snapshot, kind)
        if isinstance(seen, NotRead) or checked.step.kind is not JoinStepKind.LINK:
            return seen
        return replace(seen, record_id=checked.step.record_id)

    async def _create_objects(
        self, plan: JoinPlan, steps: Sequence[JoinStep], result: PlanResult
    ) -> None:
        """Queue the creates of objects, and wait for them unless the connection is paused."""
        correlation_id = new_id()
        connected = self.context.connections[plan.source]

        async def enqueue(db: AsyncConnection) -> tuple[list[JoinStep], bool]:
            ids = [step.record_id for step in steps]
            work = await work_storage.load(db, connected, plan.entity_type, record_ids=ids)
            ready = []
            for step in steps:
                if _is_done(work, step):
                    result.already_done += 1
                elif (why := _find_change_here(work, step)) is not None:
                    _skip(result, step, why)
                else:
                    ready.append(step)
            changes = [
                RecordChange.of(
                    plan.entity_type, work.records[step.record_id], fanout.RESYNC, correlation_id
                )
                for step in ready
            ]
            await fanout.enqueue(db, [(change, plan.source) for change in changes])
            state = (await connections.states(db)).get(plan.source)
            return ready, state is not None and state.paused

        ready, paused = await in_transaction(self.context.engine, enqueue)
        self.context.wake(OUTBOUND)
        if paused:
            result.queued += len(ready)
            return
        await self.waiter.wait(plan.source, (), correlation_id)
        ids = [step.record_id for step in ready]
        links = await in_transaction(
            self.context.engine, lambda c: mappings.of_records(c, plan.entity_type, ids)
        )
        for step in ready:
            link = links.get(step.record_id, {}).get(plan.source)
            if link is not None and link.state is MappingState.ACTIVE:
                result.done += 1
            else:
                _skip(result, step, "it was not created: see `zenskar dlq list`")


def _skip(result: PlanResult, step: JoinStep, why: str) -> None:
    result.skip(step.kind.value, step.external_id, step.record_id, why)


def _named(checked: _Checked) -> Snapshot:
    """Return the snapshot of an object as if the object carried the planned record's id."""
    seen = replace(checked.snapshot.seen, record_id=checked.step.record_id)
    return Snapshot(seen, checked.snapshot.asof)


def _is_done(work: UnitOfWork, step: JoinStep) -> bool:
    """Whether an earlier run has made a step."""
    mapping = work.by_record.get(step.record_id)
    if step.external_id is not None:
        mapping = work.mappings.get(step.external_id)
    if mapping is None or not (mapping.active or kernel.is_former(mapping)):
        return False
    return mapping.entity_id == step.record_id


def _find_change(work: UnitOfWork, plan: JoinPlan, step: JoinStep, seen: Observation) -> str | None:
    """Return the change since the plan that prevents a step about an object, None without one."""
    if seen.external_id in work.mappings:
        owner = work.mappings[seen.external_id].entity_id
        return f"the object belongs to record {owner}" if owner else "the object is deleted"
    if seen.deleted:
        return "the object is deleted"
    if digest_of(plan.id, seen) != step.digest:
        return "the object was changed"
    if step.kind is JoinStepKind.CREATE_HERE:
        return _find_match(work, seen)
    if (why := _find_change_here(work, step)) is not None:
        return why
    situation = replace(work.situation_of(seen), intents=())
    outcome = kernel.observe(situation, seen, work.source.merge_policy, new_record_id="")
    record = work.shared(work.records[step.record_id])
    same = link_fates(work, record, outcome) == step.fields
    return None if same else "the settings decide otherwise about its fields"


def _find_match(work: UnitOfWork, seen: Observation) -> str | None:
    situation = work.situation_of(seen)
    if situation.record is not None:
        return f"the object names record {situation.record.id}"
    # Other objects with an equal value may be linked by this plan, so the value is not unique.
    fields, known = seen.fields or {}, situation.candidates
    found = match(situation, fields, unique=False) if known else None
    if found is None or not found.record_ids:
        return None
    return f"the object matches record {', '.join(found.record_ids)}"


def _find_change_here(work: UnitOfWork, step: JoinStep) -> str | None:
    """Return the change since the plan that prevents a step about a record, None without one."""
    record = work.records.get(step.record_id)
    if record is None or record.deleted:
        return "the record is deleted"
    if record.version != step.record_version:
        return "the record was changed"
    if step.record_id in work.by_record:
        return f"the record has the object {work.by_record[step.record_id].external_id}"
    return "a create of the record is in progress" if work.has_open_create(record.id) else None
