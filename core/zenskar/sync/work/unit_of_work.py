"""The decisions of one transaction about records, mappings and pushes.

The kernel decides in memory, one observation after another, for a batch of either direction.
`known_state` holds the state before and between the decisions.
`work_storage` loads a unit under locks and writes it in sets.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from zenskar import kernel
from zenskar.ids import is_id, new_id
from zenskar.kernel import Outcome, Situation, Step
from zenskar.model.fields import apply
from zenskar.model.observation import Observation
from zenskar.model.record import ExternalMapping, IntentState, Record
from zenskar.sync.fanout import Cause
from zenskar.sync.work.filtered_decisions import FilteredDecisions
from zenskar.sync.work.follow_ups import FollowUps
from zenskar.sync.work.known_state import KnownState


@dataclass(slots=True)
class PendingWrites:
    """Decisions that are not written yet: ids of records and mappings, and states of pushes.

    `restored` are records that were deleted, `purged` such that are to be erased.
    """

    created: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    mapped: set[str] = field(default_factory=set)
    settled: dict[str, IntentState] = field(default_factory=dict)
    restored: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)


@dataclass(slots=True)
class UnitOfWork(KnownState):
    """The known state of some records at one connection, and the decisions about them so far."""

    pending: PendingWrites = field(default_factory=PendingWrites)
    replaced: dict[str, Record] = field(default_factory=dict)
    """Records before their last change in this transaction; a created record has none."""
    follow_ups: FollowUps = field(init=False)
    """The pushes, history and messages that the decisions lead to."""
    filtered: FilteredDecisions = field(init=False)
    """The records that travel to and from the connection."""

    def __post_init__(self) -> None:
        # A class with slots is made twice, so `super()` would name the first one.
        KnownState.__post_init__(self)
        self.follow_ups = FollowUps(self.name, self.entity_type)
        self.filtered = FilteredDecisions(self.source, self.entity_type)

    @property
    def lease_seconds(self) -> float:
        """The time for which a push belongs to the worker that sends it."""
        return self.source.settings.intent_lease_seconds

    def mark_in_sync(self, record_id: str) -> None:
        """Mark a record as in sync: no change of it was in a field that the connection covers."""
        mapping = self.by_record.get(record_id)
        if self.coverage is not None and mapping is not None and mapping.active:
            self.pending.mapped.add(mapping.external_id)

    def observe(self, seen: Observation) -> tuple[str | None, Outcome]:
        """Apply an observation with the kernel; return the record's id and the outcome."""
        if seen.merged_into is not None:
            seen = replace(seen, merged_into=self._last_successor(seen, seen.merged_into))
        situation = self.situation_of(seen)
        new_record_id = _new_record_id(situation, seen)

        def record_of(outcome: Outcome) -> Record | None:
            return self.records.get(_record_id(situation, outcome) or "")

        outcome = self.filtered.decide(situation, seen, record_of, new_record_id)
        record_id = _record_id(situation, outcome)
        outcome = self.filtered.whole(record_of(outcome), outcome)
        if outcome.mapping is not None:
            self._map(outcome.mapping)
        if outcome.successor is not None:
            self._map(outcome.successor)
        self._change(record_id, outcome)
        if seen.purged:
            self._purge(record_id)
        for intent_id in outcome.settled:
            self.settle(intent_id, IntentState.ANSWERED)
        for intent_id in outcome.unconfirmed:
            self.settle(intent_id, IntentState.UNKNOWN)
        for intent_id in outcome.ended:
            self.settle(intent_id, IntentState.ENDED)
        return record_id, outcome

    def plan(self, record_id: str) -> Step:
        """Plan the next step for a record with the kernel."""
        situation = self.planned_situation(record_id)
        if self.is_outside(record_id):
            return kernel.plan_outside(situation)
        return kernel.plan(situation, propagate_deletes=self.source.propagate_deletes)

    def is_outside(self, record_id: str) -> bool:
        """Return whether a record, maybe a deleted one, does not pass the connection's filter."""
        return self.filtered.is_outside(self.records.get(record_id))

    def lose(self, record_id: str, intent_id: str, state: IntentState) -> None:
        """Mark a push as lost, so that its object is fetched next (rule 6).

        A push is lost without an answer, or with one that needs a second look.
        """
        self.settle(intent_id, state)
        outcome = kernel.lost(self.planned_situation(record_id), intent_id)
        if outcome.mapping is not None:
            self._map(outcome.mapping)
        for over in outcome.ended:
            self.settle(over, IntentState.ENDED)

    def take_over(self, record_id: str) -> None:
        """Mark the pushes of a record as lost whose workers let the lease expire."""
        for intent in self.intents.get(record_id, ()):
            if intent.id in self.lapsed and intent.state is IntentState.UNKNOWN:
                self.lose(record_id, intent.id, IntentState.UNKNOWN)
        self.lapsed -= {intent.id for intent in self.intents.get(record_id, ())}

    def detach(self, record_id: str) -> None:
        """Detach a record's external object; only an operator can link it again."""
        self.release(self.by_record[record_id].external_id)

    def leave(self, record_id: str) -> None:
        """Release the object of a record that left the filter, until the record enters again."""
        self._map(kernel.released(self.by_record[record_id]))

    def release(self, external_id: str) -> None:
        """Detach an external object, live or not, so that a living record gets another one."""
        self._map(kernel.detached(self.mappings[external_id]))

    def note_merge(self, external_id: str, merged_into: str) -> None:
        """Note that an object was merged into another one, so that its record gets no new one."""
        self._map(kernel.merged(self.mappings[external_id], merged_into))

    def revive(self, external_id: str) -> ExternalMapping:
        """Link an object again that is proven to live, at an operator's request."""
        mapping = self.mappings[external_id]
        revived = kernel.linked_again(mapping)
        if revived is not mapping:
            self._map(revived)
        return revived

    def may_return(self, mapping: ExternalMapping) -> bool:
        """Whether a fetch of an object counts that was deleted or is its record's former object."""
        record = self.records.get(mapping.entity_id or "")
        if kernel.is_former(mapping) and record is not None and not record.deleted:
            return True
        possible = mapping.ended_record or mapping.entity_id is None
        return self.source.merge_policy.restores and possible and mapping.merged_into is None

    def settle(self, intent_id: str, state: IntentState) -> None:
        """Set the state of a push. An answered push stays answered."""
        if self.pending.settled.get(intent_id) is IntentState.ANSWERED:
            return
        self.pending.settled[intent_id] = state
        for record_id, known in self.intents.items():
            if any(i.id == intent_id for i in known):
                self.intents[record_id] = tuple(
                    replace(i, state=state) if i.id == intent_id else i for i in known
                )

    def follow(self, record_id: str, outcome: Outcome, owners: Iterable[str], cause: Cause) -> None:
        """Enqueue the change of a record for every other source system that syncs it."""
        if outcome.changes_record:
            self.follow_ups.fan_out(self.records[record_id], outcome, owners, cause)

    def _map(self, mapping: ExternalMapping) -> None:
        self.mappings[mapping.external_id] = mapping
        self.pending.mapped.add(mapping.external_id)
        self._unread.discard(mapping.external_id)
        if mapping.entity_id is not None:
            self.by_record[mapping.entity_id] = mapping
            if not mapping.active and self._ends(mapping.entity_id, mapping):
                self.ended.add(mapping.entity_id)

    def _change(self, record_id: str | None, outcome: Outcome) -> None:
        if record_id is None:
            return
        if outcome.create_record:
            self.records[record_id] = Record(record_id, dict(outcome.record_changes))
            self.pending.created.add(record_id)
            self.search.add_created(record_id, outcome.record_changes)
            return
        if not outcome.changes_record:
            return
        if outcome.restore_record:
            self.pending.restored.add(record_id)
        record = self.replaced[record_id] = self.records[record_id]
        self.records[record_id] = Record(
            id=record_id,
            fields=apply(record.fields, outcome.record_changes),
            version=record.version + 1,
            updated_at=record.updated_at,
            deleted=outcome.delete_record or (record.deleted and not outcome.restore_record),
        )
        self.pending.changed.add(record_id)

    def _purge(self, record_id: str | None) -> None:
        """Request the erasure of a record whose object was purged, if the connection erases.

        A record that has another object lives on.
        """
        record = self.records.get(record_id or "")
        if record is None or not record.deleted or record.erased:
            return
        if self.source.settings.on_purge == "erase":
            self.pending.purged.add(record.id)


def _record_id(situation: Situation, outcome: Outcome) -> str | None:
    """Return the id of the record of an outcome, if any."""
    known = situation.record.id if situation.record else None
    return (outcome.mapping.entity_id if outcome.mapping is not None else None) or known


def _new_record_id(situation: Situation, seen: Observation) -> str:
    """Return the id of the record that may be created from an object.

    An object that names an absent record was created by zenskar before the database was restored
    from a backup. Its record is created under the same id, which other systems may have stored.
    """
    if situation.mapping is not None and situation.mapping.entity_id is not None:
        return ""
    named = seen.record_id
    return named if named and situation.record is None and is_id(named) else new_id()
