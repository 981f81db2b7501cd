"""Decide on an external object without a mapping."""

from dataclasses import replace

from zenskar.kernel.intervals import is_late
from zenskar.kernel.match import match
from zenskar.kernel.merge import agreed, merge
from zenskar.kernel.outcome import Outcome, Verdict
from zenskar.kernel.policy import MergePolicy
from zenskar.kernel.situation import Situation, creates_since
from zenskar.kernel.unseen import fill
from zenskar.model.fields import Fields, difference
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import (
    OPEN,
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
    """Link the object to its record, leave a tombstone, or create a record.

    A late observation of a living object shows an old state; the object may be deleted by now.
    """
    record, rival = situation.record, situation.rival
    if record is not None and rival is not None and not _is_successor(situation, seen, rival):
        if seen.fields is None or not _survives(situation, record, rival, seen):
            return _duplicate(seen)
        record = None
    if seen.fields is None:
        return _buried(record, seen)
    if is_late(seen):
        return Outcome(Verdict.LATE, seen_changes=dict(seen.fields))
    if record is None:
        outcome = _unnamed(situation, seen, seen.fields, policy, new_record_id)
    else:
        # A create in progress says nothing about an object that no create has made.
        known = replace(situation, intents=()) if seen.foreign else situation
        outcome = _link(known, record, seen, policy)
    return outcome if rival is None else _with_doubt(outcome, seen)


def _is_successor(situation: Situation, seen: Observation, rival: ExternalMapping) -> bool:
    """Whether the record's former object was released, and this object takes its place.

    After the record's own delete, only an object of our own create takes the place. A delete
    without such a create is the delete of a duplicate, and deletes no record.
    """
    record = situation.record
    if rival.active or not rival.detached or record is None:
        return False
    if any(i.id in {seen.intent_id, seen.origin_key} for i in creates_since(situation, rival)):
        return True
    pending = any(i.state in OPEN for i in creates_since(situation, rival))
    return pending or not (record.deleted or seen.deleted)


def _survives(
    situation: Situation, record: Record, rival: ExternalMapping, seen: Observation
) -> bool:
    """Whether a living object outlives the record that it names, and gets a record of its own.

    An object of our own create ends with its record.
    """
    if rival.active or not record.deleted or record.erased or seen.answers:
        return False
    creates = (i for i in situation.intents if i.kind is IntentKind.CREATE)
    return not any(i.id == seen.origin_key for i in creates)


def _unnamed(
    situation: Situation,
    seen: Observation,
    fields: Fields,
    policy: MergePolicy,
    new_record_id: str,
) -> Outcome:
    """Link an object to the free record that it matches, or create a record if it matches none.

    A person decides about every other match.
    """
    if not situation.candidates:
        return _created(seen, fields, new_record_id)
    found = match(situation, fields)
    if found.record is not None:
        linked = _link(replace(situation, intents=()), found.record, seen, policy)
        return replace(linked, matched=found.record_ids)
    if found.record_ids:
        changes = dict(fields)
        return Outcome(Verdict.UNDECIDED, seen_changes=changes, matched=found.record_ids)
    return _created(seen, fields, new_record_id)


def _created(seen: Observation, fields: Fields, new_record_id: str) -> Outcome:
    mapping = ExternalMapping(
        seen.external_id,
        new_record_id,
        fields,
        seen.asof,
        version=seen.version,
        memo=seen.memo,
    )
    return Outcome(Verdict.CREATED, mapping=mapping, record_changes=fields, create_record=True)


def _with_doubt(outcome: Outcome, seen: Observation) -> Outcome:
    """Request a fetch: a later observation may have come while the object was a duplicate."""
    if seen.kind is not ObservationKind.WEBHOOK or outcome.mapping is None:
        return outcome
    wanted = replace(outcome.mapping, fetch_revision=outcome.mapping.revision)
    return replace(outcome, mapping=wanted)


def _duplicate(seen: Observation) -> Outcome:
    """Keep a second external object of a record unlinked: a record has at most one object.

    A deleted duplicate stays deleted, also when a late observation follows the record's delete.
    """
    if seen.fields is None:
        return replace(_buried(None, seen), verdict=Verdict.DUPLICATE)
    return Outcome(Verdict.DUPLICATE, seen_changes=dict(seen.fields), settled=seen.answers)


def _buried(record: Record | None, seen: Observation) -> Outcome:
    """Rule 8: a delete that is seen before its create leaves a tombstone, too."""
    tombstone = ExternalMapping(
        seen.external_id,
        record.id if record is not None else None,
        base={},
        asof=seen.asof,
        state=MappingState.DELETED,
        ended_record=record is not None and not record.deleted,
    )
    return Outcome(
        Verdict.DELETED,
        mapping=tombstone,
        delete_record=record is not None and not record.deleted,
        settled=seen.answers,
    )


def _link(situation: Situation, record: Record, seen: Observation, policy: MergePolicy) -> Outcome:
    """Rule 7: an object that carries our record's id, or matches it, belongs to that record."""
    create = _pending_create(situation.intents, seen)
    base = {k: v for k, v in create.changes.items() if v is not None} if create else {}
    seen = fill(seen, base, ())
    fields = seen.fields or {}
    linked = ExternalMapping(
        seen.external_id,
        record.id,
        fields,
        seen.asof,
        version=seen.version,
        memo=seen.memo,
    )
    settled = seen.answers + _found(create, seen)
    if seen.replayed:
        # Rule 4: the answer is as old as the create, at an unknown time; so fetch the object.
        stale = Interval(0, seen.asof.high)
        linked = replace(
            linked, base=base, asof=stale, fetch_revision=linked.revision, version=None
        )
        return Outcome(Verdict.LINKED, mapping=linked, settled=settled)
    if record.deleted:
        changes = difference(base, fields)
        linked = replace(linked, base=agreed(record, base, seen, situation.intents, policy))
        return Outcome(Verdict.LINKED, mapping=linked, seen_changes=changes, settled=settled)
    if create is None:
        policy = policy.for_joins
        if _tells_too_little(record, seen):
            linked = replace(linked, fetch_revision=linked.revision)
    merged = merge(record, base, seen, situation.intents, policy)
    return Outcome(
        Verdict.LINKED,
        mapping=linked,
        record_changes=merged.changes,
        seen_changes=merged.seen,
        conflicts=merged.conflicts,
        settled=settled,
    )


def _tells_too_little(record: Record, seen: Observation) -> bool:
    """Whether the next push would write to unseen fields that a fetch may show."""
    told = seen.kind in {ObservationKind.WEBHOOK, ObservationKind.LIST}
    return told and bool(seen.hidden(record.fields))


def _pending_create(intents: tuple[Intent, ...], seen: Observation) -> Intent | None:
    creates = [i for i in intents if i.kind is IntentKind.CREATE]
    named = [i for i in creates if i.id in {seen.intent_id, seen.origin_key}]
    return next(iter(named or creates), None)


def _found(create: Intent | None, seen: Observation) -> tuple[str, ...]:
    """Return the create without an answer that the seen object proves to have landed."""
    lost = create is not None and create.state is IntentState.UNKNOWN
    return (create.id,) if create and lost and create.id != seen.intent_id else ()
