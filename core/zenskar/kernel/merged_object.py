"""Decide on an external object that was merged into another object, its successor."""

from dataclasses import replace

from zenskar.kernel import intervals
from zenskar.kernel.outcome import Outcome, Verdict
from zenskar.kernel.situation import Situation
from zenskar.kernel.unanswered import in_vain
from zenskar.model.observation import Observation
from zenskar.model.record import ExternalMapping, MappingState, Record


def follow(situation: Situation, seen: Observation, successor_id: str) -> Outcome:
    """Rule 8: move the record to a free successor, else end its mapping; a merge deletes nothing.

    `successor_id` is the last object of a chain of merges.
    """
    mapping, record = situation.mapping, situation.record
    if mapping is not None and not mapping.active:
        return Outcome(Verdict.TOMBSTONE, settled=seen.answers)
    if mapping is None and situation.rival is not None:
        record = None
    merged = _ended(mapping, record, seen, successor_id)
    if record is None or record.deleted:
        return _left(situation, seen, merged, successor_id)
    if situation.successor is None:
        return _moved(record, seen, merged, successor_id)
    if _was_deleted_first(situation.successor):
        return _deleted(situation, record, seen, merged, situation.successor)
    return _left(situation, seen, merged, successor_id)


def _ended(
    mapping: ExternalMapping | None, record: Record | None, seen: Observation, successor_id: str
) -> ExternalMapping:
    """Return the tombstone of the merged object."""
    if mapping is None:
        owner = record.id if record is not None else None
        mapping = ExternalMapping(seen.external_id, owner, {}, seen.asof, revision=0)
    return replace(
        mapping,
        state=MappingState.DELETED,
        asof=intervals.later(mapping.asof, seen.asof),
        revision=mapping.revision + 1,
        fetch_revision=None,
        merged_into=successor_id,
    )


def _moved(
    record: Record, seen: Observation, merged: ExternalMapping, successor_id: str
) -> Outcome:
    """Give the record the successor, which is fetched and compared with the known base.

    Pushes without an answer stay open: the external system may apply them to the successor.
    """
    revision = merged.revision
    moved = ExternalMapping(
        successor_id,
        record.id,
        merged.base,
        seen.asof,
        revision=revision,
        fetch_revision=revision,
    )
    return Outcome(Verdict.MERGED_INTO, mapping=merged, successor=moved, unconfirmed=seen.answers)


def _left(
    situation: Situation, seen: Observation, merged: ExternalMapping, successor_id: str
) -> Outcome:
    """Leave the record as it is, and fetch the successor of a known object, if that may live.

    An unknown successor is still free for the record of an object that was merged into this one.
    """
    successor = situation.successor
    lives = merged.entity_id is not None if successor is None else successor.active
    return Outcome(
        Verdict.MERGED_INTO,
        mapping=merged,
        settled=seen.answers,
        ended=in_vain(situation, seen),
        look=successor_id if lives else None,
    )


def _was_deleted_first(successor: ExternalMapping) -> bool:
    """Whether the delete of the successor was its first observation."""
    return not successor.active and successor.entity_id is None and successor.merged_into is None


def _deleted(
    situation: Situation,
    record: Record,
    seen: Observation,
    merged: ExternalMapping,
    successor: ExternalMapping,
) -> Outcome:
    """Delete a record whose object went on in a successor that was deleted since."""
    adopted = replace(successor, entity_id=record.id, revision=successor.revision + 1)
    return Outcome(
        Verdict.DELETED,
        mapping=merged,
        successor=adopted,
        delete_record=True,
        settled=seen.answers,
        ended=in_vain(situation, seen),
    )
