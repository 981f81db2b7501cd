"""Decide the next step for a record at a connection."""

from dataclasses import dataclass, field
from enum import StrEnum

from zenskar.kernel.situation import Situation, creates_since
from zenskar.model.fields import FieldChanges, difference
from zenskar.model.record import ExternalMapping, Intent, IntentKind, IntentState, Record


class StepKind(StrEnum):
    """The kind of a step. After its result is observed, `plan` runs again."""

    NOTHING = "nothing"
    WAIT = "wait"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    DETACH = "detach"
    LEAVE = "leave"
    FETCH = "fetch"
    RESEND = "resend"
    FIND = "find"


@dataclass(frozen=True, slots=True)
class Step:
    """The next step. `changes` are the fields to write; `intent` is the push to resolve."""

    kind: StepKind
    changes: FieldChanges = field(default_factory=dict)
    intent: Intent | None = None


NOTHING = Step(StepKind.NOTHING)


def plan(situation: Situation, *, propagate_deletes: bool) -> Step:
    """Compare the record with the base, and return the step that makes both sides equal.

    The decision depends on the present state, never on the content of a message. An intent in
    state `sent` belongs to a live worker; the shell turns intents of dead workers into `unknown`
    before it calls this function.
    """
    record, mapping = situation.record, situation.mapping
    if record is None:
        return NOTHING
    if any(intent.state is IntentState.SENT for intent in situation.intents):
        return Step(StepKind.WAIT)
    if mapping is None or _wants_another(situation, record, mapping):
        return _unmapped(situation, record)
    if not mapping.active:
        return _former(record, mapping)
    if mapping.fetch_revision is not None or _unheard(situation.intents, mapping):
        return Step(StepKind.FETCH)
    return _mapped(record, mapping, propagate_deletes=propagate_deletes)


def _wants_another(situation: Situation, record: Record, mapping: ExternalMapping) -> bool:
    """Whether a record's object was released, so that the record needs or may have a new one."""
    if mapping.active or not mapping.detached or mapping.fetch_revision is not None:
        return False
    return not record.deleted or bool(creates_since(situation, mapping))


def _former(record: Record, mapping: ExternalMapping) -> Step:
    """Look at the former object of a record that was undeleted by another connection."""
    wanted = mapping.fetch_revision is not None and not record.deleted
    return Step(StepKind.FETCH) if wanted else NOTHING


def _unmapped(situation: Situation, record: Record) -> Step:
    """Rule 6: a create without an answer is resolved first, and never repeated blindly."""
    pending = next((i for i in situation.intents if i.kind is IntentKind.CREATE), None)
    if pending is not None:
        repeat = pending.key_alive and not record.deleted
        return Step(StepKind.RESEND if repeat else StepKind.FIND, intent=pending)
    if record.deleted:
        return NOTHING
    return Step(StepKind.CREATE, changes=record.fields)


def _unheard(intents: tuple[Intent, ...], mapping: ExternalMapping) -> bool:
    """Rule 6: whether a push has no answer, and no observation was made since it was sent."""
    return any(
        intent.state is IntentState.UNKNOWN and intent.revision == mapping.revision
        for intent in intents
    )


def _mapped(record: Record, mapping: ExternalMapping, *, propagate_deletes: bool) -> Step:
    if record.deleted:
        return Step(StepKind.DELETE if propagate_deletes else StepKind.DETACH)
    changes = difference(mapping.base, record.fields)
    return Step(StepKind.UPDATE, changes=changes) if changes else NOTHING
