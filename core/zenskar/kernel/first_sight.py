"""An external object that no mapping knows yet."""

from dataclasses import replace

from zenskar.kernel.merge import merge
from zenskar.kernel.outcome import Outcome, Verdict
from zenskar.kernel.policy import MergePolicy
from zenskar.kernel.situation import Situation
from zenskar.model.fields import Fields, difference
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation
from zenskar.model.record import (
    ExternalMapping,
    Intent,
    IntentKind,
    IntentState,
    MappingState,
    Record,
)


def first_sight(
    situation: Situation, seen: Observation, policy: MergePolicy, new_record_id: str
) -> Outcome:
    """Link the object to the record it names, leave a tombstone, or make a record for it."""
    record = situation.record
    if record is not None and situation.rival is not None:
        # One external object at most for each record: a second one that claims it stays alone.
        return Outcome(
            Verdict.DUPLICATE, seen_changes=dict(seen.fields or {}), settled=seen.answers
        )
    if seen.fields is None:
        return _buried(record, seen)
    if record is None:
        mapping = ExternalMapping(seen.external_id, new_record_id, seen.fields, seen.asof)
        return Outcome(
            Verdict.CREATED, mapping=mapping, record_changes=seen.fields, create_record=True
        )
    return _link(situation, record, seen, seen.fields, policy)


def _buried(record: Record | None, seen: Observation) -> Outcome:
    """Rule 8: a delete seen before its create leaves a tombstone too."""
    tombstone = ExternalMapping(
        seen.external_id,
        record.id if record is not None else None,
        base={},
        asof=seen.asof,
        state=MappingState.DELETED,
    )
    return Outcome(
        Verdict.DELETED,
        mapping=tombstone,
        delete_record=record is not None and not record.deleted,
        settled=seen.answers,
    )


def _link(
    situation: Situation, record: Record, seen: Observation, fields: Fields, policy: MergePolicy
) -> Outcome:
    """Rule 7: an object that carries our record's id belongs to that record."""
    create = _pending_create(situation.intents, seen)
    base = {k: v for k, v in create.changes.items() if v is not None} if create else {}
    linked = ExternalMapping(seen.external_id, record.id, fields, seen.asof)
    settled = seen.answers + _found(create, seen)
    if seen.replayed:
        # Rule 4: the answer is as old as the create, whenever that was; so look again.
        stale = Interval(0, seen.asof.high)
        linked = replace(linked, base=base, asof=stale, fetch_revision=linked.revision)
        return Outcome(Verdict.LINKED, mapping=linked, settled=settled)
    if record.deleted:
        changes = difference(base, fields)
        return Outcome(Verdict.LINKED, mapping=linked, seen_changes=changes, settled=settled)
    merged = merge(record, base, seen, situation.intents, policy)
    return Outcome(
        Verdict.LINKED,
        mapping=linked,
        record_changes=merged.changes,
        seen_changes=merged.seen,
        conflicts=merged.conflicts,
        settled=settled,
    )


def _pending_create(intents: tuple[Intent, ...], seen: Observation) -> Intent | None:
    creates = [i for i in intents if i.kind is IntentKind.CREATE]
    named = [i for i in creates if i.id in {seen.intent_id, seen.origin_key}]
    return next(iter(named or creates), None)


def _found(create: Intent | None, seen: Observation) -> tuple[str, ...]:
    """A create without an answer has landed when its object shows up."""
    lost = create is not None and create.state is IntentState.UNKNOWN
    return (create.id,) if create and lost and create.id != seen.intent_id else ()
