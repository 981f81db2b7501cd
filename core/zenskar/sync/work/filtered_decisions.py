"""Decide observations with the filter of a connection, and on whole records.

The kernel decides about the covered part of a record. A filter is about the whole record, so its
changes are completed first.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from zenskar import kernel
from zenskar.kernel import Outcome, Situation, Verdict
from zenskar.model.fields import apply
from zenskar.model.observation import Observation
from zenskar.model.record import Record
from zenskar.plugins.configuration import ConfiguredConnection

RecordOf = Callable[[Outcome], Record | None]
"""Returns the record that an outcome is about, None without one."""


@dataclass(frozen=True, slots=True)
class FilteredDecisions:
    """The filter of the records of an entity type that travel to and from a connection."""

    source: ConfiguredConnection
    entity_type: str

    def decide(
        self, situation: Situation, seen: Observation, record_of: RecordOf, new_record_id: str
    ) -> Outcome:
        """Decide an observation with the kernel; return the changes of the covered part."""
        policy = self.source.merge_policy
        if self.entity_type not in self.source.filters:
            return kernel.observe(situation, seen, policy, new_record_id=new_record_id)

        def passes(outcome: Outcome) -> bool:
            return self.passes(record_of(outcome), outcome)

        return kernel.observe_filtered(situation, seen, policy, passes, new_record_id=new_record_id)

    def whole(self, record: Record | None, outcome: Outcome) -> Outcome:
        """Return an outcome whose changes are those of a whole record, not of its covered part."""
        routes = self.source.routes.get(self.entity_type)
        if routes is None or not (outcome.create_record or outcome.record_changes):
            return outcome
        if outcome.create_record:
            changes = routes.with_constants(outcome.record_changes)
        else:
            before = record.fields if record else {}
            changes = routes.coverage.lift(before, outcome.record_changes)
        return replace(outcome, record_changes=changes)

    def passes(self, record: Record | None, outcome: Outcome) -> bool:
        """Return whether a record passes once an outcome is applied."""
        changes = self.whole(record, outcome).record_changes
        before = None if outcome.create_record else record
        fields = changes if before is None else apply(before.fields, changes)
        return self.source.travels(self.entity_type, fields)

    def admits_new(self, seen: Observation) -> bool:
        """Return whether the record that is created from an object would pass."""
        created = Outcome(Verdict.CREATED, record_changes=seen.fields or {}, create_record=True)
        return self.passes(None, created)

    def is_outside(self, record: Record | None) -> bool:
        """Return whether a record, maybe a deleted one, does not pass."""
        if record is None or record.erased:
            return False
        return not self.source.travels(self.entity_type, record.fields)

    def stays_outside(self, record: Record, outcome: Outcome) -> bool:
        """Return whether a record passes neither before an outcome nor after it."""
        return self.is_outside(record) and not self.passes(record, outcome)
