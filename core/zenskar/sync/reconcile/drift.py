"""Drift: differences between the two sides, as the kernel decides them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from zenskar.kernel import Outcome, StepKind, Verdict, is_former
from zenskar.model.fields import difference
from zenskar.model.missing import Missing
from zenskar.model.observation import Observation
from zenskar.model.record import ExternalMapping, Record
from zenskar.sync.reconcile.field_fate import FieldFate, fates_of
from zenskar.sync.reconcile.repair_action import (
    OF_HIDDEN,
    RepairAction,
    inward_action,
    outward_action,
)
from zenskar.sync.work.unit_of_work import UnitOfWork


class DriftKind(StrEnum):
    """The kind of difference. `there` is the external system."""

    MISSING_HERE = "missing_here"
    """An object without a record."""
    MISSING_THERE = "missing_there"
    """A living record whose object is gone, or was never created."""
    DIFFERENT = "different"
    """A record and its object that differ in some fields."""
    DELETED_HERE = "deleted_here"
    """A deleted record whose object lives, although it should be deleted too."""
    DUPLICATE = "duplicate"
    """A second object that carries the id of a record with an object."""


_ACTS = frozenset(StepKind) - {StepKind.NOTHING, StepKind.WAIT}
_MERGES = frozenset({RepairAction.LINK, RepairAction.MERGE, RepairAction.RESTORE_HERE})


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference between a record and its object: their ids and the fields, without values.

    `inward`: an inbound event repairs it. `outward`: a push repairs it. `hidden`: the object is
    not visible, which proves nothing, so an operator must choose the repair. `former`: the record
    had the object, and waits for a look at it. `action` is the repair, `fates` its effect on the
    fields, and `record_version` the record's version before it.
    """

    kind: DriftKind
    external_id: str | None
    record_id: str | None
    fields: tuple[str, ...] = ()
    inward: bool = False
    outward: bool = False
    hidden: bool = False
    former: bool = False
    action: RepairAction | None = None
    fates: Mapping[str, FieldFate] = field(default_factory=dict)
    record_version: int | None = None

    @property
    def vanished(self) -> bool:
        """Whether a living record has lost the object that it was linked with."""
        return self.kind is DriftKind.MISSING_THERE and self.external_id is not None

    def repair(self, missing: Missing | None) -> RepairAction | None:
        """Return the repair with this choice for missing objects, None if there is none."""
        if self.hidden:
            chosen = OF_HIDDEN[missing] if missing is not None else None
            # The end of a former object deletes no record.
            return None if self.former and missing is Missing.DELETE else chosen
        if self.vanished and missing is Missing.RECREATE:
            return RepairAction.CREATE_THERE
        return self.action

    def can_be_repaired(self, missing: Missing | None) -> bool:
        """Whether a repair with this choice for missing objects changes anything."""
        return self.inward or self.outward or (self.hidden and self.repair(missing) is not None)

    @property
    def key(self) -> str | None:
        """The id of the object, or of the record when there is no object."""
        return self.external_id or self.record_id


@dataclass(frozen=True, slots=True)
class Outside:
    """An object without a record, or a record, that the filter of the connection excludes."""


def drift_of_object(work: UnitOfWork, seen: Observation) -> Drift | Outside | None:
    """Return the drift that the kernel would remove by this observation; in memory only.

    The object of a record that left the filter is not counted, as its record is.
    """
    before = work.mappings.get(seen.external_id)
    owner = before.entity_id if before is not None else None
    known = work.records.get(owner or seen.record_id or "")
    record_id, outcome = work.observe(seen)
    if outcome.verdict is Verdict.OUTSIDE:
        alone = record_id is None or (before is not None and before.active)
        return Outside() if alone else None
    if outcome.create_record:
        known = None
    elif known is None and outcome.matched:
        known = _matched(work, outcome)
    former = before is not None and is_former(before) and seen.merged_into is None
    found = _of_former(outcome) if former else _kind(work, before, seen, outcome)
    if found is None:
        return None
    kind, fields = found
    drift = Drift(
        kind,
        seen.external_id,
        known.id if known else None,
        fields,
        inward=outcome.verdict.changes_state,
        record_version=known.version if known else None,
    )
    return _with_repair(work, drift, before, seen, record_id, outcome)


def drift_of_hidden_object(work: UnitOfWork, external_id: str) -> Drift | None:
    """Return the drift of an object that is not visible, if a living record has or had it."""
    mapping = work.mappings.get(external_id)
    record = work.records.get(mapping.entity_id or "") if mapping is not None else None
    if mapping is None or record is None or record.deleted:
        return None
    former = is_former(mapping)
    if not mapping.active and not former:
        return None
    if work.filtered.is_outside(record):
        return None
    return Drift(
        DriftKind.MISSING_THERE,
        external_id,
        record.id,
        hidden=True,
        former=former,
        record_version=record.version,
    )


def drift_of_unmapped_record(
    work: UnitOfWork, record_id: str, found: Observation | None
) -> Drift | None:
    """Return the drift of a living record without an object; `found` carries the record's id."""
    record, mapping = work.records.get(record_id), work.by_record.get(record_id)
    if record is None or record.deleted or (mapping is not None and _is_settled(mapping)):
        return None
    waits = mapping is not None and is_former(mapping)
    if found is not None and not waits:
        drift = drift_of_object(work, found)
        return drift if isinstance(drift, Drift) else None
    step = work.plan(record_id).kind
    return Drift(
        DriftKind.MISSING_THERE,
        None,
        record_id,
        outward=step in _ACTS,
        action=outward_action(step),
        record_version=record.version,
    )


def _matched(work: UnitOfWork, outcome: Outcome) -> Record | None:
    """Return the record with which an object was linked by its values, as it was before."""
    record_id = outcome.mapping.entity_id if outcome.mapping is not None else None
    known = work.replaced if outcome.changes_record else work.records
    return known.get(record_id or "")


def _with_repair(
    work: UnitOfWork,
    drift: Drift,
    before: ExternalMapping | None,
    seen: Observation,
    record_id: str | None,
    outcome: Outcome,
) -> Drift:
    """Return a drift with its repair and its effect on the fields of a record that exists."""
    if not drift.inward:
        step = work.plan(record_id).kind if record_id is not None else StepKind.NOTHING
        acts = drift.kind is not DriftKind.DUPLICATE
        action = outward_action(step) if acts else None
        drift = replace(drift, outward=step in _ACTS, action=action)
    else:
        drift = replace(drift, action=inward_action(before, seen, outcome))
    if drift.record_id is None or drift.action not in _MERGES:
        return drift
    return replace(drift, fates=fates_of(outcome, work.pushed(drift.record_id).fields))


def _is_settled(mapping: ExternalMapping) -> bool:
    """Whether a record has an object, or needs none since the object was merged."""
    return mapping.active or mapping.merged_into is not None


def _kind(
    work: UnitOfWork, before: ExternalMapping | None, seen: Observation, outcome: Outcome
) -> tuple[DriftKind, tuple[str, ...]] | None:
    if seen.merged_into is not None:
        return (DriftKind.MISSING_THERE, ()) if outcome.mapping is not None else None
    if seen.deleted:
        return (DriftKind.MISSING_THERE, ()) if outcome.delete_record else None
    if outcome.verdict is Verdict.DUPLICATE:
        return DriftKind.DUPLICATE, ()
    if before is None:
        return DriftKind.MISSING_HERE, ()
    if not before.active:
        return None if before.detached else (DriftKind.DELETED_HERE, ())
    return _of_live_mapping(work, before, outcome)


def _of_former(outcome: Outcome) -> tuple[DriftKind, tuple[str, ...]] | None:
    """Return the difference of a former object that shows that its record enters the filter."""
    if outcome.verdict is not Verdict.ENTERED and outcome.look is None:
        return None
    changes = outcome.record_changes or outcome.seen_changes
    return DriftKind.DIFFERENT, tuple(sorted(changes))


def _of_live_mapping(
    work: UnitOfWork, before: ExternalMapping, outcome: Outcome
) -> tuple[DriftKind, tuple[str, ...]] | None:
    record = work.records.get(before.entity_id or "")
    if record is None:
        return None
    if record.deleted:
        # Where deletes are not propagated, the living object is intended.
        return (DriftKind.DELETED_HERE, ()) if work.source.propagate_deletes else None
    fields = _differing(outcome, before, work.pushed(record.id))
    return (DriftKind.DIFFERENT, fields) if fields else None


def _differing(outcome: Outcome, before: ExternalMapping, record: Record) -> tuple[str, ...]:
    base = (outcome.mapping or before).base
    fields = set(outcome.record_changes) | set(difference(base, record.fields))
    if outcome.verdict in {Verdict.AMBIGUOUS, Verdict.STALE}:
        fields |= set(outcome.seen_changes)
    return tuple(sorted(fields))
