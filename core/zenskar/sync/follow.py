"""Who must follow when an observation changed a record."""

from collections.abc import Iterable

from zenskar.kernel import Outcome
from zenskar.model.fields import SHAPES, unflatten
from zenskar.sync import fanout
from zenskar.sync.fanout import RecordChange
from zenskar.sync.workset import Workset


def follow_ups(
    work: Workset,
    record_id: str,
    outcome: Outcome,
    owners: Iterable[str],
    *,
    correlation_id: str,
    causation_id: str,
) -> list[tuple[RecordChange, str]]:
    """Return the changes for the other connections of a record that has just been changed."""
    others = [source for source in owners if source != work.name]
    if not outcome.changes_record or not others:
        return []
    change = change_of(
        work, record_id, _action(outcome), correlation_id=correlation_id, causation_id=causation_id
    )
    return [(change, source) for source in others]


def change_of(
    work: Workset, record_id: str, action: str, *, correlation_id: str, causation_id: str
) -> RecordChange:
    """Describe a record as it is now."""
    record = work.records[record_id]
    shape = SHAPES[work.entity_type]
    return RecordChange(
        entity_type=work.entity_type,
        record_id=record_id,
        version=record.version,
        action=action,
        document=None if record.deleted else unflatten(shape, record.fields),
        correlation_id=correlation_id,
        causation_id=causation_id,
    )


def _action(outcome: Outcome) -> str:
    if outcome.delete_record:
        return fanout.DELETED
    return fanout.CREATED if outcome.create_record else fanout.UPDATED
