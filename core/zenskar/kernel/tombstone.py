"""Decide on observations of an object with a tombstone."""

from dataclasses import replace

from zenskar.kernel import intervals
from zenskar.kernel.first_sight import first_sight
from zenskar.kernel.intervals import Order
from zenskar.kernel.outcome import Outcome, Verdict
from zenskar.kernel.policy import MergePolicy
from zenskar.kernel.situation import Situation
from zenskar.kernel.unanswered import in_vain
from zenskar.model.fields import difference
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import ExternalMapping, MappingState


def risen(
    situation: Situation, mapping: ExternalMapping, seen: Observation, policy: MergePolicy
) -> ExternalMapping | None:
    """Return the mapping of an object that lives again for its record, None for any other.

    Only a look that was sent after the delete proves that the object lives.
    """
    record = situation.record
    if record is None or seen.fields is None or not _is_look(mapping, seen):
        return None
    restored = policy.restores and mapping.ended_record and _can_return(situation, mapping)
    if not restored and not _is_former(situation, mapping):
        return None
    return replace(mapping, state=MappingState.ACTIVE, detached=False, ended_record=False)


def gone(
    situation: Situation,
    mapping: ExternalMapping,
    seen: Observation,
    policy: MergePolicy,
    new_record_id: str,
) -> Outcome:
    """Keep the tombstone, request a look at an object that may be restored, or make a record."""
    if _is_former(situation, mapping):
        return _released(mapping, seen) if _is_look(mapping, seen) else _doubted(mapping, seen)
    if not policy.restores or not _can_return(situation, mapping):
        return _tombstone(situation, mapping, seen)
    if seen.fields is None:
        return _gone_again(situation, mapping, seen)
    if _is_look(mapping, seen):
        return _seen_first(situation, mapping, seen, policy, new_record_id)
    if intervals.order(seen, mapping.asof) is Order.BEFORE:
        return _tombstone(situation, mapping, seen)
    changes = difference(mapping.base, seen.fields)
    return Outcome(
        Verdict.AMBIGUOUS, seen_changes=changes, unconfirmed=seen.answers, look=seen.external_id
    )


def _is_look(mapping: ExternalMapping, seen: Observation) -> bool:
    """Whether a fetch was sent after everything that is known of the object."""
    return seen.kind is ObservationKind.FETCH and seen.seen_revision == mapping.revision


def _is_former(situation: Situation, mapping: ExternalMapping) -> bool:
    """Whether a record that was undeleted wants to know what became of its former object."""
    record = situation.record
    return mapping.fetch_revision is not None and record is not None and not record.deleted


def _can_return(situation: Situation, mapping: ExternalMapping) -> bool:
    """Whether the restore of an object brings its record back, or makes a record.

    A delete of the record here stands, and so does its erasure.
    """
    record, rival = situation.record, situation.rival
    if mapping.detached or mapping.merged_into is not None:
        return False
    if record is not None and (record.erased or (rival is not None and rival.active)):
        return False
    return mapping.ended_record or mapping.entity_id is None


def _tombstone(situation: Situation, mapping: ExternalMapping, seen: Observation) -> Outcome:
    """Rule 8: a tombstone is never revived, but takes the record of its object if it has none."""
    record = situation.record
    settled = seen.answers
    over = in_vain(situation, seen) if situation.rival is None else ()
    known = mapping.entity_id is not None or mapping.merged_into is not None
    if known or record is None or situation.rival is not None:
        changes = {} if seen.fields is None else difference(mapping.base, seen.fields)
        return Outcome(Verdict.TOMBSTONE, seen_changes=changes, settled=settled, ended=over)
    adopted = replace(
        mapping,
        entity_id=record.id,
        revision=mapping.revision + 1,
        ended_record=not record.deleted,
    )
    return Outcome(
        Verdict.DELETED,
        mapping=adopted,
        delete_record=not record.deleted,
        settled=settled,
        ended=over,
    )


def _gone_again(situation: Situation, mapping: ExternalMapping, seen: Observation) -> Outcome:
    """Rule 8: a further delete outdates every look that was sent before; a purge is final."""
    outcome = _tombstone(situation, mapping, seen)
    known = outcome.mapping or mapping
    later = replace(
        known,
        asof=intervals.later(known.asof, seen.asof),
        revision=mapping.revision + 1,
        ended_record=known.ended_record and not seen.purged,
    )
    return replace(outcome, mapping=later)


def _seen_first(
    situation: Situation,
    mapping: ExternalMapping,
    seen: Observation,
    policy: MergePolicy,
    new_record_id: str,
) -> Outcome:
    """Take a restored object for a new one, if its delete was the first observation of it."""
    outcome = first_sight(replace(situation, mapping=None), seen, policy, new_record_id)
    if outcome.mapping is None:
        return outcome
    return replace(outcome, mapping=replace(outcome.mapping, revision=mapping.revision + 1))


def _doubted(mapping: ExternalMapping, seen: Observation) -> Outcome:
    """Request another look at a former object, because a look in progress may miss this state."""
    changes = {} if seen.fields is None else difference(mapping.base, seen.fields)
    if intervals.order(seen, mapping.asof) is Order.BEFORE or seen.kind is ObservationKind.FETCH:
        return Outcome(Verdict.TOMBSTONE, seen_changes=changes, settled=seen.answers)
    revision = mapping.revision + 1
    wanted = replace(mapping, revision=revision, fetch_revision=revision)
    return Outcome(Verdict.AMBIGUOUS, mapping=wanted, seen_changes=changes, settled=seen.answers)


def _released(mapping: ExternalMapping, seen: Observation) -> Outcome:
    """Release a former object that is proven deleted, so that its record gets another one."""
    released = replace(mapping, detached=True, revision=mapping.revision + 1, fetch_revision=None)
    return Outcome(Verdict.TOMBSTONE, mapping=released, settled=seen.answers)
