"""Plan the next step of a job, in memory: every push is stored before it is sent.

The unit of work gathers the writes of each step.
"""

from dataclasses import dataclass, replace

from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import EventState, Transition
from zenskar.db.intents import NewIntent
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.ids import new_id
from zenskar.kernel import Conflict, Outcome, Step, StepKind, Verdict
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.observation import Observation
from zenskar.model.record import ExternalMapping, Intent, IntentKind, IntentState
from zenskar.model.sync_event import SyncStatus
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.plugins.router import PluginRouter
from zenskar.sync.fanout import AMBIGUOUS_MATCH
from zenskar.sync.outbound.calls import Call, anothers_object
from zenskar.sync.outbound.job import PushJob
from zenskar.sync.outcome_history import broadcast, describe, transition
from zenskar.sync.translator import Translator
from zenskar.sync.work.job_result import Ack, JobResult, Nack
from zenskar.sync.work.unit_of_work import UnitOfWork

LEFT = "left"
"""The reason of an event that released the object of a record which left the filter."""
_HELD_SECONDS = 1.0
_EARLY_SECONDS = 30.0
"""The time until a find is repeated whose object may still be created."""
_MOST_NAMED = 10
_PUSHES = {
    StepKind.CREATE: IntentKind.CREATE,
    StepKind.UPDATE: IntentKind.UPDATE,
    StepKind.DELETE: IntentKind.DELETE,
}


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """The observation that a call of a job has brought; None when nothing was found."""

    job: PushJob
    call: Call
    seen: Observation | None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """The next step of a job, and what is to be counted once it is stored."""

    step: Call | JobResult
    conflicts: tuple[Conflict, ...] = ()
    deletes: bool = False
    succeeded: bool = False


class StepPlanner:
    """Plans steps and applies answers; a decision is in force once its transaction is stored."""

    def __init__(
        self, router: PluginRouter, translator: Translator, broadcaster: Broadcaster
    ) -> None:
        self._router = router
        self._broadcaster = broadcaster
        self._translator = translator

    def begin(self, work: UnitOfWork, job: PushJob, *, failed: bool = False) -> PlannedStep:
        """Plan the first step of a job; a job about an external object begins with its fetch.

        The fetch of a job that has `failed` before shares no call: its object may be the cause.
        Raises `CallFailed` when the integration cannot make the body of a push.
        """
        work.follow_ups.causes[job.record_id] = job.cause
        if job.external_id is None:
            return self._next(work, job, "in_sync")
        mapping = work.mappings.get(job.external_id)
        if mapping is not None and not mapping.active and not work.may_return(mapping):
            tombstone = Verdict.TOMBSTONE.value
            work.follow_ups.moves.append(Transition(job.event_id, SyncStatus.IGNORED, tombstone))
            return PlannedStep(Ack())
        call = Call(
            job.source,
            job.entity_type,
            "",
            StepKind.FETCH,
            job.external_id,
            together=not failed,
        )
        if mapping is not None:
            owner = mapping.entity_id or ""
            call = replace(call, record_id=owner, revision=mapping.revision)
        step: HistoryDetail = {"step": call.step.value}
        work.follow_ups.moves.append(Transition(job.event_id, SyncStatus.PROCESSING, detail=step))
        return PlannedStep(call)

    def apply(self, work: UnitOfWork, event: EventState | None, answer: CallAnswer) -> PlannedStep:
        """Apply an answer and plan the step after it.

        Raises `CallFailed` when the answer shows an object of another record, or when the
        integration cannot make the body of a push. Nothing of the transaction may be stored then.
        """
        job, call, seen = answer.job, answer.call, answer.seen
        work.follow_ups.causes[job.record_id] = job.cause
        if job.external_id is not None and seen is not None:
            return self._apply_look(work, event, job, seen)
        if call.links and work.records[job.record_id].deleted:
            # The object is not ours, so the delete of the record must not reach it.
            return self.go_on(work, job, event, "in_sync")
        if seen is None:
            return self._apply_nothing(work, job, event, call)
        detail: HistoryDetail = {"answer_to": call.step.value}
        record_id, outcome = work.observe(seen)
        if outcome.verdict is Verdict.DUPLICATE and not is_mapped(work, job):
            kind = FailureKind.REJECTED if call.links else FailureKind.BUG
            raise CallFailed(anothers_object(kind, seen.external_id))
        detail.update(describe(work, record_id, seen, outcome))
        detail.update(broadcast(self._broadcaster, work, record_id, outcome, job.cause))
        detail["external_id"] = seen.external_id
        if outcome.verdict is Verdict.TOMBSTONE and call.step is StepKind.FIND:
            # Only the detached object carries the record's id: none was made since.
            work.settle(call.intent_id, IntentState.FAILED)
        if call.links and work.search.match_by:
            # The object may have been undecided since this fetch was sent.
            work.follow_ups.look(seen.external_id, job.cause)
        _mark(work, job, outcome)
        work.follow_ups.look(outcome.look, job.cause)
        owners = self._router.owners_of(job.entity_type)
        work.follow(record_id or job.record_id, outcome, owners, job.cause)
        work.follow_ups.note(event, detail)
        if ended(event):
            self.hand_over(work, job)
        planned = self.go_on(work, job, event, "pushed" if call.pushes else "in_sync")
        return replace(planned, conflicts=outcome.conflicts, deletes=outcome.delete_record)

    def _apply_nothing(
        self, work: UnitOfWork, job: PushJob, event: EventState | None, call: Call
    ) -> PlannedStep:
        """Plan on after a find without a result (rule 6).

        While a request of the create may arrive, that proves nothing, and the find is repeated.
        After an undelete the create itself is repeated, maybe by another worker already.
        """
        detail: HistoryDetail = {"answer_to": call.step.value, "verdict": "not_found"}
        sought, step = call.intent, work.plan(job.record_id)
        if step.kind is StepKind.FIND and sought is not None:
            if sought.may_arrive and sought.key_alive and not ended(event):
                again = Transition(
                    job.event_id, SyncStatus.RETRYING, detail=detail, retry_in=_EARLY_SECONDS
                )
                work.follow_ups.moves.append(again)
                return PlannedStep(Nack(_EARLY_SECONDS))
            work.settle(sought.id, IntentState.FAILED)
        work.follow_ups.note(event, detail)
        if ended(event):
            self.hand_over(work, job)
        return self.go_on(work, job, event, "in_sync")

    def hand_over(self, work: UnitOfWork, job: PushJob) -> None:
        """Give the remaining steps an event of their own.

        Another worker took over during the call and has ended the event; the answer counts all
        the same.
        """
        if work.plan(job.record_id).kind not in {StepKind.NOTHING, StepKind.WAIT}:
            work.follow_ups.resync(work.records[job.record_id], job.cause)

    def go_on(
        self, work: UnitOfWork, job: PushJob, event: EventState | None, reason: str
    ) -> PlannedStep:
        """Plan the next step, unless another worker has ended the event."""
        return PlannedStep(Ack()) if ended(event) else self._next(work, job, reason)

    def _apply_look(
        self, work: UnitOfWork, event: EventState | None, job: PushJob, seen: Observation
    ) -> PlannedStep:
        """Apply a fetch that found the record of an object; remaining steps get an event.

        Raises `CallFailed` when a person must choose the record.
        """
        record_id, outcome = work.observe(seen)
        if outcome.verdict is Verdict.UNDECIDED:
            raise CallFailed(undecided(work, seen.external_id, outcome))
        detail: HistoryDetail = {
            "answer_to": StepKind.FETCH.value,
            **describe(work, record_id, seen, outcome),
            **broadcast(self._broadcaster, work, record_id, outcome, job.cause),
        }
        work.follow_ups.look(outcome.look, job.cause)
        if record_id is not None and outcome.verdict.changes_state:
            owners = self._router.owners_of(job.entity_type)
            work.follow(record_id, outcome, owners, job.cause)
            self.hand_over(work, replace(job, record_id=record_id))
        if ended(event):
            work.follow_ups.note(event, detail)
        else:
            work.follow_ups.moves.append(transition(job.event_id, record_id, seen, outcome, detail))
        return PlannedStep(
            Ack(), conflicts=outcome.conflicts, deletes=outcome.delete_record, succeeded=True
        )

    def _next(self, work: UnitOfWork, job: PushJob, reason: str) -> PlannedStep:
        """Plan the next step; `reason` is that of the success if no step is left."""
        work.take_over(job.record_id)
        step = work.plan(job.record_id)
        if step.kind is StepKind.DETACH:
            work.detach(job.record_id)
            step, reason = work.plan(job.record_id), "detached"
        elif step.kind is StepKind.LEAVE:
            work.leave(job.record_id)
            step, reason = work.plan(job.record_id), LEFT
        elif step.kind is StepKind.NOTHING and work.is_outside(job.record_id):
            ignored = Transition(job.event_id, SyncStatus.IGNORED, Verdict.OUTSIDE.value)
            work.follow_ups.moves.append(ignored)
            return PlannedStep(Ack())
        if step.kind is StepKind.NOTHING:
            work.mark_in_sync(job.record_id)
            mapping = work.by_record.get(job.record_id)
            external_id = mapping.external_id if mapping is not None else None
            if mapping is not None and not mapping.active and mapping.merged_into is not None:
                reason = Verdict.MERGED_INTO.value
            work.follow_ups.moves.append(
                Transition(job.event_id, SyncStatus.SUCCEEDED, reason, external_id=external_id)
            )
            return PlannedStep(Ack(), succeeded=True)
        if step.kind is StepKind.WAIT:
            return PlannedStep(Nack(_HELD_SECONDS))
        return PlannedStep(self._call(work, job, step))

    def _call(self, work: UnitOfWork, job: PushJob, step: Step) -> Call:
        """Return the call of a step; a push is stored with its exact body and key."""
        mapping = work.by_record.get(job.record_id)
        fetches = step.kind is StepKind.FETCH
        live = mapping if mapping is not None and (mapping.active or fetches) else None
        external_id, revision = (live.external_id, live.revision) if live else (None, 0)
        intent = step.intent
        if step.kind in _PUSHES:
            intent = self._new_intent(work, job, step, mapping)
            work.follow_ups.new_intents.append(_stored(work, job, intent, external_id))
        elif step.kind is StepKind.RESEND and intent is not None:
            work.follow_ups.resent.append(intent.id)
        detail: HistoryDetail = {"step": step.kind.value}
        if intent is not None:
            detail["idempotency_key"] = intent.id
            detail["changes"] = dict(intent.changes)
        work.follow_ups.moves.append(Transition(job.event_id, SyncStatus.PROCESSING, detail=detail))
        return Call(
            job.source,
            job.entity_type,
            job.record_id,
            step.kind,
            external_id,
            revision,
            intent,
            version=live.version if live else None,
        )

    def _new_intent(
        self, work: UnitOfWork, job: PushJob, step: Step, mapping: ExternalMapping | None
    ) -> Intent:
        record, kind = work.pushed(job.record_id), _PUSHES[step.kind]
        memo = mapping.memo if mapping is not None and mapping.active else None
        revision = mapping.revision if mapping is not None else 0
        body = self._translator.body(
            job.source, kind, job.entity_type, record, step.changes, memo=memo
        )
        return Intent(new_id(), kind, dict(step.changes), revision=revision, body=body)


def undecided(work: UnitOfWork, external_id: str, outcome: Outcome) -> Failure:
    """Return the failure of an object that matches no single free record, without any value.

    While a create of a record is open, the object may be the one that the create has made.
    """
    ids = outcome.matched
    if any(work.has_open_create(each) for each in ids):
        text = f"{external_id} matches a record whose create is not answered yet"
        return Failure(FailureKind.TRANSIENT, text)
    named = ", ".join(ids[:_MOST_NAMED]) + (", …" if len(ids) > _MOST_NAMED else "")
    fields = " and ".join(work.search.match_by)
    text = (
        f"{external_id} may belong to record {named}, by {fields}: more than one record or object "
        "has this value; choose by `zenskar mappings link`, or change a value and retry"
    )
    return Failure(FailureKind.REJECTED, text, code=AMBIGUOUS_MATCH)


def ended(event: EventState | None) -> bool:
    """Return whether an event has ended, maybe by another worker."""
    return event is None or event.status.final


def _stored(work: UnitOfWork, job: PushJob, intent: Intent, external_id: str | None) -> NewIntent:
    return NewIntent(
        intent,
        job.source,
        job.entity_type,
        job.record_id,
        external_id,
        job.event_id,
        work.lease_seconds,
        job.traceparent,
    )


def is_mapped(work: UnitOfWork, job: PushJob) -> bool:
    """Return whether the record of a job has a living object."""
    mapping = work.by_record.get(job.record_id)
    return mapping is not None and mapping.active


def _mark(work: UnitOfWork, job: PushJob, outcome: Outcome) -> None:
    """Mark an event with the delete or the conflict of its answer, so that it can be found."""
    if outcome.delete_record:
        work.follow_ups.marks.append((job.event_id, sync_events.DELETED))
    elif outcome.conflicts:
        work.follow_ups.marks.append((job.event_id, sync_events.CONFLICT))
