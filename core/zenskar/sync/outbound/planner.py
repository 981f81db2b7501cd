"""Decide on the next step of a task, in memory; what is to be stored is gathered."""

from dataclasses import dataclass, replace

from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import EventState, Transition
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.kernel import Conflict, Outcome, StepKind, Verdict
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.observation import Observation
from zenskar.model.record import IntentState
from zenskar.model.sync_event import SyncStatus
from zenskar.plugins.router import PluginRouter
from zenskar.sync import fanout, unit_of_work
from zenskar.sync.calls import Call
from zenskar.sync.fanout import RecordChange, change_of, follow_ups
from zenskar.sync.outbound.intent_log import IntentLog, intent_id
from zenskar.sync.outbound.job import Ack, JobResult, Nack, PushJob
from zenskar.sync.outbound.writes import StepWrites
from zenskar.sync.unit_of_work import UnitOfWork, transition

_HELD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What a call of a task has shown; None when nothing was found."""

    task: PushJob
    call: Call
    seen: Observation | None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """The next step of a task, and what is to be counted once it is stored."""

    step: Call | JobResult
    conflicts: tuple[Conflict, ...] = ()
    deletes: bool = False
    succeeded: bool = False
    followed: bool = False


class StepPlanner:
    """Plans and judges; each decision is in force once its transaction has stored it."""

    def __init__(self, router: PluginRouter, intent_log: IntentLog) -> None:
        self._router = router
        self._intent_log = intent_log

    def begin(self, writes: StepWrites, task: PushJob, work: UnitOfWork) -> PlannedStep:
        """Plan the first step of a task. One that is about an external object looks at it."""
        if task.external_id is None:
            return self.next(writes, task, work, "in_sync")
        mapping = work.mappings.get(task.external_id)
        if mapping is not None and not mapping.active:
            tombstone = Verdict.TOMBSTONE.value
            writes.moves.append(Transition(task.event_id, SyncStatus.IGNORED, tombstone))
            return PlannedStep(Ack())
        call = Call(task.source, task.entity_type, "", StepKind.FETCH, task.external_id)
        if mapping is not None and mapping.entity_id is not None:
            call = replace(call, record_id=mapping.entity_id, revision=mapping.revision)
        step: HistoryDetail = {"step": call.step.value}
        writes.moves.append(Transition(task.event_id, SyncStatus.PROCESSING, detail=step))
        return PlannedStep(call)

    def judge(
        self, writes: StepWrites, work: UnitOfWork, event: EventState | None, answer: CallAnswer
    ) -> PlannedStep:
        """Take an answer in.

        Raises `CallFailed` when it is about an object of another record; nothing of the
        transaction may be stored then.
        """
        task, call, seen = answer.task, answer.call, answer.seen
        if task.external_id is not None and seen is not None:
            return self._sight(writes, work, event, task, seen)
        detail: HistoryDetail = {"answer_to": call.step.value}
        followers: list[tuple[RecordChange, str]] = []
        conflicts: tuple[Conflict, ...] = ()
        deletes = False
        if seen is None:
            work.settle(intent_id(call), IntentState.FAILED)
            detail["verdict"] = "not_found"
        else:
            record_id, outcome = work.observe(seen)
            if outcome.verdict is Verdict.DUPLICATE and not _is_mapped(work, task):
                raise CallFailed(_anothers_object(seen))
            detail.update(unit_of_work.describe(work, record_id, outcome))
            detail["external_id"] = seen.external_id
            if outcome.verdict is Verdict.TOMBSTONE and call.step is StepKind.FIND:
                # Only the object that was let go of carries the record's id: none was made since.
                work.settle(intent_id(call), IntentState.FAILED)
            conflicts, deletes = outcome.conflicts, outcome.delete_record
            _mark(writes, task, outcome)
            followers = follow_ups(
                work,
                record_id or task.record_id,
                outcome,
                self._router.owners_of(task.entity_type),
                correlation_id=task.correlation_id,
                causation_id=task.event_id,
            )
        note(writes, event, detail)
        if over(event):
            followers += self.leave(work, task)
        writes.followers += followers
        decided = self.go_on(writes, task, event, work, "pushed" if call.pushes else "in_sync")
        return replace(decided, conflicts=conflicts, deletes=deletes, followed=bool(followers))

    def _sight(
        self,
        writes: StepWrites,
        work: UnitOfWork,
        event: EventState | None,
        task: PushJob,
        seen: Observation,
    ) -> PlannedStep:
        """Take a look in that found out whose object it is; what it leaves to do gets an event."""
        record_id, outcome = work.observe(seen)
        detail: HistoryDetail = {
            "answer_to": StepKind.FETCH.value,
            **unit_of_work.describe(work, record_id, outcome),
        }
        followers: list[tuple[RecordChange, str]] = []
        if record_id is not None and outcome.verdict.news:
            owners = self._router.owners_of(task.entity_type)
            causes = {"correlation_id": task.correlation_id, "causation_id": task.event_id}
            followers = follow_ups(work, record_id, outcome, owners, **causes)
            followers += self.leave(work, replace(task, record_id=record_id))
        writes.followers += followers
        if over(event):
            note(writes, event, detail)
        else:
            writes.moves.append(transition(task.event_id, record_id, seen, outcome, detail))
        return PlannedStep(
            Ack(),
            conflicts=outcome.conflicts,
            deletes=outcome.delete_record,
            succeeded=True,
            followed=bool(followers),
        )

    def leave(self, work: UnitOfWork, task: PushJob) -> list[tuple[RecordChange, str]]:
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

    def go_on(
        self,
        writes: StepWrites,
        task: PushJob,
        event: EventState | None,
        work: UnitOfWork,
        reason: str,
    ) -> PlannedStep:
        """Plan the next step, unless another worker has ended the event."""
        if over(event):
            return PlannedStep(Ack())
        return self.next(writes, task, work, reason)

    def next(self, writes: StepWrites, task: PushJob, work: UnitOfWork, reason: str) -> PlannedStep:
        """Plan the next step; `reason` is that of the success if nothing is left to do."""
        work.take_over(task.record_id)
        step = work.plan(task.record_id)
        if step.kind is StepKind.DETACH:
            work.detach(task.record_id)
            step, reason = work.plan(task.record_id), "detached"
        if step.kind is StepKind.NOTHING:
            work.agree(task.record_id)
            mapping = work.by_record.get(task.record_id)
            external_id = mapping.external_id if mapping is not None else None
            writes.moves.append(
                Transition(task.event_id, SyncStatus.SUCCEEDED, reason, external_id=external_id)
            )
            return PlannedStep(Ack(), succeeded=True)
        if step.kind is StepKind.WAIT:
            return PlannedStep(Nack(_HELD_SECONDS))
        return PlannedStep(self._intent_log.write_down(writes, task, work, step))


def _is_mapped(work: UnitOfWork, task: PushJob) -> bool:
    mapping = work.by_record.get(task.record_id)
    return mapping is not None and mapping.active


def _mark(writes: StepWrites, task: PushJob, outcome: Outcome) -> None:
    """Let an event be found by the delete or the conflict that its answer brought."""
    if outcome.delete_record:
        writes.marks.append((task.event_id, sync_events.DELETED))
    elif outcome.conflicts:
        writes.marks.append((task.event_id, sync_events.CONFLICT))


def _anothers_object(seen: Observation) -> Failure:
    """To go on would make a second object, or take one from the record that has it."""
    return Failure(
        FailureKind.BUG,
        f"the external system answered with {seen.external_id}, which belongs to another record",
        code="anothers_object",
    )


def note(writes: StepWrites, event: EventState | None, detail: HistoryDetail) -> None:
    """Have a detail added to the history of an event, whose status stays."""
    if event is not None:
        status = event.status if event.status.final else SyncStatus.PROCESSING
        writes.notes.append((event.id, status, detail))


def over(event: EventState | None) -> bool:
    """Tell whether an event has come to its end, maybe by another worker."""
    return event is None or event.status.final
