"""Decide at a connection with a filter: records that do not pass stay outside.

The object of a record that leaves is kept and released. This former object of the record is fetched
before the record gets another one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from zenskar.kernel.links import is_former, released
from zenskar.kernel.observe import observe
from zenskar.kernel.outcome import Outcome, Verdict
from zenskar.kernel.plan import NOTHING, Step, StepKind, plan
from zenskar.kernel.policy import MergePolicy
from zenskar.kernel.situation import Situation, creates_since
from zenskar.kernel.unseen import with_look
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import OPEN, ExternalMapping, IntentKind, IntentState, MappingState

Passes = Callable[[Outcome], bool]
"""Whether the record of an outcome passes the filter once the outcome is applied."""


def observe_filtered(
    situation: Situation,
    seen: Observation,
    policy: MergePolicy,
    passes: Passes,
    *,
    new_record_id: str,
) -> Outcome:
    """Decide the changes of an observation at a connection with a filter.

    An observation is applied if the record passes before it or after it. Every other observation
    changes no record, apart from the effect of a push without an answer.
    """
    sight = _Sight(seen, policy, passes, new_record_id)
    record, mapping = situation.record, situation.mapping
    if record is None or record.deleted:
        return sight.without_record(situation)
    if mapping is None:
        return sight.without_mapping(situation)
    if is_former(mapping):
        return sight.of_former(situation, mapping)
    return sight.of_mapped(situation, mapping)


def plan_outside(situation: Situation) -> Step:
    """Plan the next step for a record that does not pass: its object is released, never changed.

    A push in progress is waited for. A create without an answer stays open while the external
    system remembers its key, because a search proves nothing before. Then the object is searched.
    """
    record, mapping = situation.record, situation.mapping
    if record is None:
        return NOTHING
    if record.deleted:
        return plan(situation, propagate_deletes=False)
    if any(intent.state is IntentState.SENT for intent in situation.intents):
        return Step(StepKind.WAIT)
    if mapping is not None and mapping.active:
        return Step(StepKind.LEAVE)
    known = situation.intents if mapping is None else creates_since(situation, mapping)
    pending = next((i for i in known if i.kind is IntentKind.CREATE), None)
    if pending is None or pending.key_alive:
        return NOTHING
    return Step(StepKind.FIND, intent=pending)


@dataclass(frozen=True, slots=True)
class _Sight:
    """An observation at a connection with a filter."""

    seen: Observation
    policy: MergePolicy
    passes: Passes
    new_record_id: str

    def without_record(self, situation: Situation) -> Outcome:
        """Create or link a record that passes; the object of any other one waits outside.

        A later webhook of a new record's object may have come while the object was outside.
        """
        outcome = self._observe(situation)
        if outcome.create_record and not self.passes(outcome):
            return Outcome(Verdict.OUTSIDE)
        if outcome.create_record and self.seen.kind is ObservationKind.WEBHOOK:
            return with_look(outcome)
        return outcome if situation.record is not None else self._joined(outcome)

    def without_mapping(self, situation: Situation) -> Outcome:
        """Link an object that names a record which passes."""
        creating = any(i.kind is IntentKind.CREATE and i.state in OPEN for i in situation.intents)
        rival, fields = situation.rival, self.seen.fields
        if rival is not None and is_former(rival) and fields is not None and not creating:
            return Outcome(Verdict.DUPLICATE, seen_changes=dict(fields), settled=self.seen.answers)
        outcome = self._observe(situation)
        if outcome.delete_record and not self._is_inside:
            return self._spared(situation, outcome)
        return outcome if creating else self._joined(outcome)

    def of_mapped(self, situation: Situation, mapping: ExternalMapping) -> Outcome:
        """Apply an observation, or release the object of a record that is outside."""
        outcome = self._observe(situation)
        if self._is_inside or not mapping.active:
            return self._spared(situation, outcome) if self._ends_outside(outcome) else outcome
        if outcome.delete_record:
            return self._spared(situation, outcome)
        look = self.seen.external_id if self._may_pass(outcome) else None
        if self.passes(outcome) or outcome.verdict is Verdict.MERGED_INTO:
            return outcome
        if any(intent.state in OPEN for intent in situation.intents):
            return replace(outcome, look=look)
        return Outcome(
            Verdict.OUTSIDE if look is None else Verdict.AMBIGUOUS,
            mapping=released(mapping),
            seen_changes=outcome.seen_changes,
            settled=outcome.settled,
            ended=outcome.ended,
            look=look,
        )

    def of_former(self, situation: Situation, mapping: ExternalMapping) -> Outcome:
        """Link a former object again if its record passes; only a look proves its state."""
        alive = replace(situation, mapping=_revived(mapping))
        if self.seen.merged_into is not None:
            outcome = self._observe(alive)
            return self._spared(alive, outcome) if self._ends_outside(outcome) else outcome
        outcome = self._observe(situation)
        if not self.seen.deleted and outcome.verdict is not Verdict.RESTORED:
            # The base does not hold the effect of the answered push, which the next look shows.
            outcome = replace(outcome, settled=(), unconfirmed=self.seen.answers)
        if self._is_inside or self.passes(outcome):
            entered = outcome.verdict is Verdict.RESTORED
            return replace(outcome, verdict=Verdict.ENTERED) if entered else outcome
        if self.seen.deleted:
            return self._gone(outcome, mapping)
        if outcome.verdict is Verdict.RESTORED:
            return Outcome(Verdict.OUTSIDE, seen_changes=outcome.seen_changes)
        expected = self._observe(alive)
        if not self._may_pass(expected):
            return replace(outcome, verdict=Verdict.OUTSIDE)
        seen_changes, look = expected.seen_changes, self.seen.external_id
        return replace(outcome, verdict=Verdict.AMBIGUOUS, seen_changes=seen_changes, look=look)

    @property
    def _is_inside(self) -> bool:
        """Whether the known record passes before the observation."""
        return self.passes(Outcome(Verdict.CONFIRMED))

    def _observe(self, situation: Situation) -> Outcome:
        return observe(situation, self.seen, self.policy, new_record_id=self.new_record_id)

    def _joined(self, outcome: Outcome) -> Outcome:
        """Keep the link of a record that does not pass, so that both are joined when it enters."""
        if outcome.verdict is not Verdict.LINKED or outcome.mapping is None:
            return outcome
        before = replace(outcome, record_changes={})
        if self.passes(before) or self.passes(outcome):
            return outcome
        waiting = released(replace(outcome.mapping, base={}, version=None))
        return Outcome(
            Verdict.OUTSIDE, mapping=waiting, settled=outcome.settled, matched=outcome.matched
        )

    def _may_pass(self, outcome: Outcome) -> bool:
        """Whether the record passes after an outcome, or may pass once its order is known."""
        if outcome.verdict is Verdict.AMBIGUOUS:
            outcome = replace(outcome, record_changes=outcome.seen_changes)
        return self.passes(outcome)

    def _ends_outside(self, outcome: Outcome) -> bool:
        return outcome.delete_record and not self._is_inside

    def _spared(self, situation: Situation, outcome: Outcome) -> Outcome:
        """Return the outcome of a delete that ends the object, and not the record outside."""
        if outcome.successor is not None:
            alone = replace(self, seen=replace(self.seen, merged_into=None))
            outcome = alone._observe(situation)  # noqa: SLF001 - the same class
        if outcome.mapping is None:
            return replace(outcome, verdict=Verdict.OUTSIDE, delete_record=False)
        return replace(self._gone(outcome, outcome.mapping), delete_record=False)

    def _gone(self, outcome: Outcome, mapping: ExternalMapping) -> Outcome:
        """Return the outcome for a deleted object, whose record gets another one when it enters.

        An object that may be restored is looked at before.
        """
        returns = self.policy.restores and not self.seen.purged
        ended = replace(released(mapping), ended_record=False)
        ended = ended if returns else replace(ended, fetch_revision=None)
        return replace(outcome, verdict=Verdict.OUTSIDE, mapping=ended)


def _revived(mapping: ExternalMapping) -> ExternalMapping:
    return replace(mapping, state=MappingState.ACTIVE, detached=False, ended_record=False)
