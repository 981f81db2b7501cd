"""Decide on observations of external objects, of every kind."""

from dataclasses import replace
from typing import Any

from zenskar.kernel import intervals
from zenskar.kernel.first_sight import first_sight
from zenskar.kernel.intervals import Order
from zenskar.kernel.marks import has_other_memo, with_marks
from zenskar.kernel.merge import agreed, merge, told_edits, wrote
from zenskar.kernel.merged_object import follow
from zenskar.kernel.outcome import Outcome, Verdict
from zenskar.kernel.policy import MergePolicy
from zenskar.kernel.situation import Situation
from zenskar.kernel.tombstone import gone, risen
from zenskar.kernel.unanswered import ended, in_vain, reopened, written_by_others
from zenskar.kernel.unseen import fill, landed, with_look
from zenskar.model.fields import FieldChanges, Fields, apply, difference
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import (
    OPEN,
    ExternalMapping,
    Intent,
    IntentKind,
    IntentState,
    MappingState,
)


def observe(
    situation: Situation, seen: Observation, policy: MergePolicy, *, new_record_id: str
) -> Outcome:
    """Decide the changes of an observation. `new_record_id` is the id if it creates a record."""
    outcome = _decide(situation, seen, policy, new_record_id)
    return with_look(outcome) if seen.blank else outcome


def _decide(
    situation: Situation, seen: Observation, policy: MergePolicy, new_record_id: str
) -> Outcome:
    mapping = situation.mapping
    if situation.record is not None and situation.record.erased:
        seen = _without_values(seen)
    if seen.merged_into is not None:
        return follow(situation, seen, seen.merged_into)
    if mapping is None:
        return first_sight(situation, seen, policy, new_record_id)
    seen = fill(seen, mapping.base, landed(situation.intents, seen))
    if _is_anothers(mapping, seen):
        return Outcome(Verdict.DUPLICATE, unconfirmed=seen.answers)
    if not mapping.active:
        alive = risen(situation, mapping, seen, policy)
        if alive is None:
            return gone(situation, mapping, seen, policy, new_record_id)
        return _restored(situation, alive, seen, policy)
    return _known(situation, mapping, seen, policy)


def _known(
    situation: Situation, mapping: ExternalMapping, seen: Observation, policy: MergePolicy
) -> Outcome:
    if seen.fields is not None:
        return _living(situation, mapping, seen, seen.fields, policy)
    if policy.restores and not seen.purged and not _is_newer(mapping, seen):
        return _doubtful_delete(mapping, seen)
    return _delete(situation, mapping, seen)


def _without_values(seen: Observation) -> Observation:
    """Rule 8: an erased record learns from its object only whether the object lives."""
    if seen.fields is None:
        return seen
    return replace(seen, fields={}, unseen=frozenset(), apart=frozenset(), version=None, memo=None)


def lost(situation: Situation, intent_id: str) -> Outcome:
    """Rule 6: a push without an answer. With a mapping, request a fetch before the next push.

    Without a mapping the push was a create, which `plan` resolves by a repeat or by a find.
    """
    mapping = situation.mapping
    if mapping is None or not mapping.active:
        return Outcome(Verdict.LOST)
    made = tuple(
        i.id
        for i in situation.intents
        if i.id == intent_id and i.kind is IntentKind.CREATE and i.state is IntentState.UNKNOWN
    )
    return Outcome(Verdict.LOST, mapping=_want_fetch(mapping), ended=made)


def _living(
    situation: Situation,
    mapping: ExternalMapping,
    seen: Observation,
    fields: Fields,
    policy: MergePolicy,
) -> Outcome:
    if seen.replayed:
        return _replayed(mapping, seen)
    if _is_echo(situation, seen, fields):
        return Outcome(Verdict.ECHO)
    return _compare(situation, mapping, seen, fields, policy)


def _is_newer(mapping: ExternalMapping, seen: Observation) -> bool:
    return intervals.order(seen, mapping.asof) is Order.AFTER or _is_causal(mapping, seen)


def _compare(
    situation: Situation,
    mapping: ExternalMapping,
    seen: Observation,
    fields: Fields,
    policy: MergePolicy,
) -> Outcome:
    order = intervals.order(seen, mapping.asof)
    if order is Order.AFTER or _is_causal(mapping, seen):
        mapping = with_marks(mapping, seen, newer=True)
        return _take(situation, mapping, seen, fields, policy)
    changes = difference(mapping.base, fields)
    if order is Order.BEFORE and not seen.hidden(changes):
        return Outcome(
            Verdict.STALE,
            mapping=_with_fetch_answered(mapping, seen),
            seen_changes=changes | _overwritten(situation, mapping, seen),
            settled=_settled(situation, seen, fields),
        )
    if changes or has_other_memo(mapping, seen):
        return Outcome(
            Verdict.AMBIGUOUS,
            mapping=None
            if _awaits_later_fetch(mapping, seen)
            else _want_fetch(_with_unseen(mapping, seen, changes)),
            seen_changes=changes,
            unconfirmed=seen.answers + reopened(situation, seen),
            ended=written_by_others(situation, mapping, seen),
        )
    mapping = with_marks(mapping, seen, newer=False)
    return _take(situation, mapping, seen, fields, policy)


def _overwritten(
    situation: Situation, mapping: ExternalMapping, seen: Observation
) -> dict[str, Any]:
    """Return another side's edit that a push overwrote before it was observed."""
    record = situation.record
    if record is None or _origins(situation, seen):
        return {}
    return told_edits(record, mapping.base, seen)


def _with_unseen(
    mapping: ExternalMapping, seen: Observation, changes: FieldChanges
) -> ExternalMapping:
    """Rule 10: an answer confirms the written fields that it does not show.

    The fetch may not show them either, and they would be pushed again without end. After an answer
    that shows no field at all, the fetch shows more.
    """
    if seen.kind is not ObservationKind.ANSWER or not seen.unseen or seen.blank:
        return mapping
    return replace(mapping, base=apply(mapping.base, seen.hidden(changes)))


def _is_causal(mapping: ExternalMapping, seen: Observation) -> bool:
    """Rule 2: no observation was made since this call was sent, so its state is newer."""
    return seen.seen_revision == mapping.revision


def _take(
    situation: Situation,
    mapping: ExternalMapping,
    seen: Observation,
    fields: Fields,
    policy: MergePolicy,
) -> Outcome:
    known = _with_fetch_answered(mapping, seen) or mapping
    updated = ExternalMapping(
        external_id=mapping.external_id,
        entity_id=mapping.entity_id,
        base=fields,
        asof=intervals.renewed(mapping.asof, seen.asof),
        revision=mapping.revision + 1,
        state=mapping.state,
        fetch_revision=known.fetch_revision,
        detached=mapping.detached,
        version=mapping.version,
        memo=mapping.memo,
    )
    settled = _settled(situation, seen, fields)
    over = ended(situation, mapping, seen, settled)
    record = situation.record
    if record is None or record.deleted:
        changes = difference(mapping.base, fields)
        if record is not None:
            base = agreed(record, mapping.base, seen, situation.intents, policy)
            updated = replace(updated, base=base)
        verdict = Verdict.MERGED if changes else Verdict.CONFIRMED
        return Outcome(verdict, mapping=updated, seen_changes=changes, settled=settled, ended=over)
    merged = merge(record, mapping.base, seen, situation.intents, policy)
    return Outcome(
        Verdict.MERGED if merged.seen or merged.conflicts else Verdict.CONFIRMED,
        mapping=updated,
        record_changes=merged.changes,
        seen_changes=merged.seen,
        conflicts=merged.conflicts,
        settled=settled,
        ended=over,
    )


def _delete(situation: Situation, mapping: ExternalMapping, seen: Observation) -> Outcome:
    """Rule 8: a delete wins over edits, whenever it is observed, since it cannot be undone."""
    record = situation.record
    return Outcome(
        Verdict.DELETED,
        mapping=replace(
            mapping,
            state=MappingState.DELETED,
            asof=intervals.later(mapping.asof, seen.asof),
            revision=mapping.revision + 1,
            fetch_revision=None,
            ended_record=record is not None and not record.deleted and not seen.purged,
        ),
        delete_record=record is not None and not record.deleted,
        settled=seen.answers,
        ended=in_vain(situation, seen),
    )


def _doubtful_delete(mapping: ExternalMapping, seen: Observation) -> Outcome:
    """Rule 8: a delete that is not surely newer may be older than a restore."""
    if intervals.order(seen, mapping.asof) is Order.BEFORE:
        answered = _with_fetch_answered(mapping, seen)
        return Outcome(Verdict.STALE, mapping=answered, settled=seen.answers)
    wanted = None if _awaits_later_fetch(mapping, seen) else _want_fetch(mapping)
    return Outcome(Verdict.AMBIGUOUS, mapping=wanted, unconfirmed=seen.answers)


def _restored(
    situation: Situation, alive: ExternalMapping, seen: Observation, policy: MergePolicy
) -> Outcome:
    """Rule 8: link an object again that returned, and merge what was changed there since."""
    record = situation.record
    living = replace(situation, record=record and replace(record, deleted=False))
    alive = with_marks(alive, seen, newer=True)
    outcome = _take(living, alive, seen, seen.fields or {}, policy)
    undeletes = record is not None and record.deleted
    return replace(outcome, verdict=Verdict.RESTORED, restore_record=undeletes)


def _is_anothers(mapping: ExternalMapping, seen: Observation) -> bool:
    """Whether a call for a record was answered with an object of another record (never shared)."""
    asked = seen.seen_revision is not None and seen.record_id is not None
    return asked and mapping.entity_id not in {None, seen.record_id}


def _replayed(mapping: ExternalMapping, seen: Observation) -> Outcome:
    """Rule 4: a replayed answer shows no present state, so request a fetch of the object."""
    return Outcome(Verdict.REPLAYED, mapping=_want_fetch(mapping), unconfirmed=seen.answers)


def _is_echo(situation: Situation, seen: Observation, fields: Fields) -> bool:
    """Whether the observation is the effect of a call whose answer was applied (rule 5)."""
    return any(
        intent.state is IntentState.ANSWERED and _shows(intent, fields)
        for intent in _origins(situation, seen)
    )


def _settled(situation: Situation, seen: Observation, fields: Fields) -> tuple[str, ...]:
    known = tuple(
        intent.id
        for intent in _origins(situation, seen)
        if intent.state in OPEN and _shows(intent, fields)
    )
    return seen.answers + known


def _origins(situation: Situation, seen: Observation) -> tuple[Intent, ...]:
    if not situation.intents:
        return ()
    return tuple(i for i in situation.intents if i.id == seen.origin_key)


def _shows(intent: Intent, fields: Fields) -> bool:
    """Match fields and values: one call can cause several events under one key."""
    return all(wrote((intent,), path, fields.get(path)) for path in intent.changes)


def _want_fetch(mapping: ExternalMapping) -> ExternalMapping:
    revision = mapping.revision + 1
    return replace(mapping, revision=revision, fetch_revision=revision)


def _awaits_later_fetch(mapping: ExternalMapping, seen: Observation) -> bool:
    """Whether this fetch was sent before the requested fetch, which will show more.

    Another request would outdate the fetch of another worker in turn, without end.
    """
    wanted, sent_at = mapping.fetch_revision, seen.seen_revision
    if seen.kind is not ObservationKind.FETCH or wanted is None:
        return False
    return sent_at is not None and sent_at < wanted


def _with_fetch_answered(mapping: ExternalMapping, seen: Observation) -> ExternalMapping | None:
    """Rule 3: only a fetch that is sent after a request answers the request.

    Returns None when this observation answers no request, so that the mapping is not stored.
    """
    wanted = mapping.fetch_revision
    if wanted is None or seen.kind is not ObservationKind.FETCH or seen.seen_revision is None:
        return None
    return replace(mapping, fetch_revision=None) if seen.seen_revision >= wanted else None
