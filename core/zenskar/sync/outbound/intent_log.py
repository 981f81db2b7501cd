"""The intent ledger: every push is written down before it is sent, and what became of it after."""

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import intents
from zenskar.db.events.sync_events import Transition
from zenskar.db.intents import NewIntent
from zenskar.errors import Failure
from zenskar.ids import new_id
from zenskar.kernel import Step, StepKind
from zenskar.model.history_detail import HistoryDetail
from zenskar.model.record import Intent, IntentKind, IntentState
from zenskar.model.sync_event import SyncStatus
from zenskar.sync.calls import Call
from zenskar.sync.outbound.job import PushJob
from zenskar.sync.outbound.writes import StepWrites
from zenskar.sync.translator import Translator
from zenskar.sync.unit_of_work import UnitOfWork

_PUSHES = {
    StepKind.CREATE: IntentKind.CREATE,
    StepKind.UPDATE: IntentKind.UPDATE,
    StepKind.DELETE: IntentKind.DELETE,
}


class IntentLog:
    """Turns steps into calls that are stored with their exact body and key."""

    def __init__(self, translator: Translator, lease_seconds: float) -> None:
        self._translator = translator
        self.lease_seconds = lease_seconds

    def writes(self) -> StepWrites:
        """Begin to gather what a transaction stores."""
        return StepWrites(self.lease_seconds)

    def write_down(self, writes: StepWrites, task: PushJob, work: UnitOfWork, step: Step) -> Call:
        """Have stored what is about to be done, and return the call that does it.

        Raises `CallFailed` when the integration cannot make a body.
        """
        mapping = work.by_record.get(task.record_id)
        live = mapping if mapping is not None and mapping.active else None
        external_id, revision = (live.external_id, live.revision) if live else (None, 0)
        intent = step.intent
        if step.kind in _PUSHES:
            intent = self._new_intent(task, work, step, mapping.revision if mapping else 0)
            writes.intents.append(self._stored(task, intent, external_id))
        elif step.kind is StepKind.RESEND and intent is not None:
            writes.taken.append(intent.id)
        detail: HistoryDetail = {"step": step.kind.value}
        if intent is not None:
            detail["idempotency_key"] = intent.id
            detail["changes"] = dict(intent.changes)
        writes.moves.append(Transition(task.event_id, SyncStatus.PROCESSING, detail=detail))
        return Call(
            task.source, task.entity_type, task.record_id, step.kind, external_id, revision, intent
        )

    async def fail(
        self,
        db: AsyncConnection,
        work: UnitOfWork,
        call: Call,
        failure: Failure,
        state: IntentState,
    ) -> None:
        """Write down what is known of a push that failed."""
        if failure.replayed:
            await intents.spend_key(db, intent_id(call))
        if state is IntentState.UNKNOWN:
            work.lose(call.record_id, intent_id(call), state)
        else:
            work.settle(intent_id(call), state)

    def _new_intent(self, task: PushJob, work: UnitOfWork, step: Step, revision: int) -> Intent:
        record = work.records[task.record_id]
        kind = _PUSHES[step.kind]
        body = self._translator.body(task.source, kind, task.entity_type, record, step.changes)
        return Intent(new_id(), kind, dict(step.changes), revision=revision, body=body)

    def _stored(self, task: PushJob, intent: Intent, external_id: str | None) -> NewIntent:
        return NewIntent(
            intent,
            task.source,
            task.entity_type,
            task.record_id,
            external_id,
            task.event_id,
            self.lease_seconds,
        )


def intent_id(call: Call) -> str:
    """Return the id of the push that a call makes or resolves."""
    return call.intent.id if call.intent is not None else ""
