"""Removals of single rules from the kernel, each with bounds that detect it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any
from unittest.mock import patch

from tests.kernel.scenarios import (
    both_sides,
    fresh,
    native,
    neighbours,
    partial,
    synced,
    two_new,
    versioned,
)
from tests.kernel.world import Bounds, Origins
from zenskar import kernel
from zenskar.kernel import ConflictPolicy, Outcome, Situation, Verdict
from zenskar.kernel.intervals import Order
from zenskar.kernel.match import Match
from zenskar.kernel.merge import Merge
from zenskar.kernel.policy import Ground
from zenskar.kernel.unseen import fill
from zenskar.model.fields import apply, name_of
from zenskar.model.observation import ObservationKind
from zenskar.model.record import OPEN, IntentState, MappingState

Patches = Callable[[], list[tuple[Any, str, Any]]]
_observe = import_module("zenskar.kernel.observe")
_first_sight = import_module("zenskar.kernel.first_sight")
_merge = import_module("zenskar.kernel.merge")
_plan = import_module("zenskar.kernel.plan")
_tombstone = import_module("zenskar.kernel.tombstone")
_unanswered = import_module("zenskar.kernel.unanswered")
_observation = import_module("zenskar.model.observation")


@dataclass(frozen=True)
class Mutation:
    """The removal of a rule."""

    rule: int
    name: str
    patches: Patches
    bounds: Bounds

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Remove the rule from the kernel."""
        patches = [patch.object(*one) for one in self.patches()]
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()


def _compare_as(order: Order) -> Patches:
    real = _observe.intervals.compare

    def compare(seen: Any, known: Any) -> Order:
        found: Order = real(seen, known)
        return order if found is Order.OVERLAPS else found

    return lambda: [(_observe.intervals, "compare", compare)]


def _clocks_are_trusted() -> list[tuple[Any, str, Any]]:
    def order(seen: Any, known: Any) -> Order:
        found: Order = _observe.intervals.compare(seen.asof, known)
        return found

    return [(_observe.intervals, "order", order)]


def _no_causality() -> list[tuple[Any, str, Any]]:
    return [(_observe, "_is_causal", lambda mapping, seen: False)]


def _anything_answers_a_fetch() -> list[tuple[Any, str, Any]]:
    def answered(mapping: Any, seen: Any) -> Any:
        asked = seen.kind is not ObservationKind.WEBHOOK
        return replace(mapping, fetch_revision=None) if asked else None

    return [(_observe, "_with_fetch_answered", answered)]


def _late_fetch_asks_again() -> list[tuple[Any, str, Any]]:
    return [(_observe, "_awaits_later_fetch", lambda mapping, seen: False)]


def _replays_are_news() -> list[tuple[Any, str, Any]]:
    return _with_observe(lambda situation, seen: (situation, replace(seen, replayed=False)))


def _nothing_is_our_own() -> list[tuple[Any, str, Any]]:
    def wrote(intents: Any, path: str, value: Any) -> bool:
        return False

    return [(_merge, "wrote", wrote)]


def _answers_always_settle() -> list[tuple[Any, str, Any]]:
    real = kernel.observe

    def observe(*args: Any, **more: Any) -> Outcome:
        outcome = real(*args, **more)
        return replace(outcome, settled=outcome.settled + outcome.unconfirmed, unconfirmed=())

    return [(kernel, "observe", observe)]


def _no_trace_of_own_values() -> list[tuple[Any, str, Any]]:
    real = _merge.merge

    def merge(*args: Any) -> Merge:
        merged: Merge = real(*args)
        known = tuple(c for c in merged.conflicts if c.policy is not Ground.OWN_PUSH)
        return replace(merged, conflicts=known)

    return [(_observe, "merge", merge), (_first_sight, "merge", merge)]


def _ours_for_ever() -> list[tuple[Any, str, Any]]:
    def may_show(intents: Any, seen: Any, path: str) -> Any:
        return tuple(i for i in intents if i.state in OPEN)

    return [
        (_merge, "_may_show", may_show),
        (_observe, "ended", lambda *args: ()),
        (_observe, "written_by_others", lambda *args: ()),
        *_no_trace_of_own_values(),
    ]


def _nothing_ends() -> list[tuple[Any, str, Any]]:
    return [(_observe, "ended", lambda *args: ())]


def _over_without_a_look() -> list[tuple[Any, str, Any]]:
    def may_show(intents: Any, seen: Any, path: str) -> Any:
        told = seen.tells_origin_of(path)
        return () if told else tuple(i for i in intents if i.state in OPEN and i.may_arrive)

    return [(_merge, "_may_show", may_show)]


def _all_of_a_value_are_over() -> list[tuple[Any, str, Any]]:
    def ended(situation: Situation, mapping: Any, seen: Any, settled: Any) -> tuple[str, ...]:
        return tuple(
            i.id
            for i in situation.intents
            if i.state is IntentState.UNKNOWN
            and i.id not in settled
            and _unanswered._shown_as_new(i, mapping.base, seen, ())
        )

    return [(_observe, "ended", ended)]


def _creates_are_repeated_blindly() -> list[tuple[Any, str, Any]]:
    real = kernel.plan

    def plan(situation: Situation, *, propagate_deletes: bool) -> Any:
        held = tuple(i for i in situation.intents if i.state is IntentState.SENT)
        return real(replace(situation, intents=held), propagate_deletes=propagate_deletes)

    return [(kernel, "plan", plan)]


def _lost_updates_are_not_looked_for() -> list[tuple[Any, str, Any]]:
    return [
        (kernel, "lost", lambda situation, intent_id: Outcome(Verdict.LOST)),
        (_plan, "_unheard", lambda intents, mapping: False),
    ]


def _webhooks_do_not_link() -> list[tuple[Any, str, Any]]:
    def unlink(situation: Situation, seen: Any) -> tuple[Situation, Any]:
        early = situation.mapping is None and seen.kind is ObservationKind.WEBHOOK
        return (Situation(), seen) if early else (situation, seen)

    return _with_observe(unlink)


def _links_forget_the_create() -> list[tuple[Any, str, Any]]:
    return [(_first_sight, "_pending_create", lambda intents, seen: None)]


def _objects_are_not_matched() -> list[tuple[Any, str, Any]]:
    return [(_first_sight, "match", lambda situation, fields: Match(()))]


def _a_match_takes_the_object_as_it_is() -> list[tuple[Any, str, Any]]:
    real = _merge.merge

    def merge(record: Any, base: Any, *more: Any) -> Merge:
        merged: Merge = real(record, base or record.fields, *more)
        return merged

    return [(_first_sight, "merge", merge)]


def _tombstones_are_forgotten() -> list[tuple[Any, str, Any]]:
    def forget(situation: Situation, seen: Any) -> tuple[Situation, Any]:
        mapping = situation.mapping
        if mapping is None or mapping.active or seen.fields is None:
            return situation, seen
        return replace(situation, mapping=replace(mapping, state=MappingState.ACTIVE)), seen

    return _with_observe(forget)


def _merges_are_deletes() -> list[tuple[Any, str, Any]]:
    return _with_observe(lambda situation, seen: (situation, replace(seen, merged_into=None)))


def _any_sight_restores() -> list[tuple[Any, str, Any]]:
    return [(_tombstone, "_is_look", lambda mapping, seen: True)]


def _further_deletes_are_known() -> list[tuple[Any, str, Any]]:
    return [(_tombstone, "_gone_again", _tombstone._tombstone)]


def _old_deletes_count() -> list[tuple[Any, str, Any]]:
    return [(_observe, "_is_newer", lambda mapping, seen: True)]


def _former_objects_are_left() -> list[tuple[Any, str, Any]]:
    return [(_plan, "_former", lambda record, mapping: _plan.NOTHING)]


def _survivors_stay_duplicates() -> list[tuple[Any, str, Any]]:
    return [(_first_sight, "_survives", lambda situation, record, rival, seen: False)]


def _survivors_are_not_doubted() -> list[tuple[Any, str, Any]]:
    return [(_first_sight, "_with_doubt", lambda outcome, seen: outcome)]


def _deleted_duplicates_are_forgotten() -> list[tuple[Any, str, Any]]:
    return [(_first_sight, "_duplicate", lambda seen: Outcome(Verdict.DUPLICATE))]


def _early_deletes_are_ignored() -> list[tuple[Any, str, Any]]:
    def buried(record: Any, seen: Any) -> Outcome:
        return Outcome(Verdict.STALE)

    return [(_first_sight, "_buried", buried)]


def _edits_win_over_deletes() -> list[tuple[Any, str, Any]]:
    real = _observe._delete

    def delete(situation: Situation, mapping: Any, seen: Any) -> Outcome:
        if situation.record is not None and situation.record.fields != mapping.base:
            return Outcome(Verdict.STALE)
        outcome: Outcome = real(situation, mapping, seen)
        return outcome

    return [(_observe, "_delete", delete)]


def _conflicts_leave_no_trace() -> list[tuple[Any, str, Any]]:
    real = _merge.merge

    def merge(record: Any, *args: Any) -> Merge:
        return replace(real(record, *args), conflicts=())

    return [(_observe, "merge", merge), (_first_sight, "merge", merge)]


def _a_look_counts_as_an_edit() -> list[tuple[Any, str, Any]]:
    return [(_merge, "_last_edit", lambda seen: seen.asof)]


def _pushes_name_no_version() -> list[tuple[Any, str, Any]]:
    def without(mapping: Any, seen: Any, *, newer: bool) -> Any:
        return replace(mapping, version=None)

    return [(_observe, "with_marks", without)]


def _blank_answers_are_trusted() -> list[tuple[Any, str, Any]]:
    return [(_observe, "with_look", lambda outcome: outcome)]


def _blank_answers_are_always_newer() -> list[tuple[Any, str, Any]]:
    def with_unseen(mapping: Any, seen: Any, changes: Any) -> Any:
        shown = seen.hidden(changes) if seen.kind is ObservationKind.ANSWER else {}
        return replace(mapping, base=apply(mapping.base, shown))

    return [(_observe, "_with_unseen", with_unseen)]


def _other_records_answers_count() -> list[tuple[Any, str, Any]]:
    return [(_observe, "_is_anothers", lambda mapping, seen: False)]


def _filled_as(fill: Callable[..., Any]) -> Patches:
    return lambda: [(_observe, "fill", fill), (_first_sight, "fill", fill)]


def _not_seen_is_empty(seen: Any, base: Any, pushes: Any) -> Any:
    return seen


def _not_seen_was_not_sent(seen: Any, base: Any, pushes: Any) -> Any:
    return fill(seen, base, ())


def _not_seen_is_rewritten() -> list[tuple[Any, str, Any]]:
    real = _merge._sent

    def sent(named: Any, seen: Any) -> Any:
        return real(named, replace(seen, unseen=frozenset()))

    return [(_merge, "_sent", sent)]


def _nothing_is_seen_apart() -> list[tuple[Any, str, Any]]:
    def unseen(path: str, names: Any, _apart: Any) -> bool:
        return name_of(path) in names

    return [(_observation, "is_unseen", unseen)]


def _with_observe(change: Callable[[Situation, Any], tuple[Situation, Any]]) -> Any:
    real = kernel.observe

    def observe(situation: Situation, seen: Any, policy: Any, **more: Any) -> Outcome:
        return real(*change(situation, seen), policy, **more)

    return [(kernel, "observe", observe)]


_EDITS = Bounds("edits", synced(internal=2, external=1, ticks=1, copies=1), crash=False)
_THEIRS = replace(_EDITS, name="edits, theirs win", policy=ConflictPolicy.EXTERNAL_WINS)
_FAULT = Bounds("edits and a lost answer", synced(internal=2, faults=1), crash=False)
_NEW = Bounds("a new record", fresh(internal=1, external=1, faults=1), crash=False)
_NEW_THEIRS = replace(_NEW, name="a new record, theirs win", policy=ConflictPolicy.EXTERNAL_WINS)
_REPLAY = Bounds("a replay", fresh(external=1, faults=1, ticks=1), crash=False)
_DELETES = Bounds(
    "edits and deletes",
    synced(internal=1, external=1, internal_deletes=1, external_deletes=1, copies=1),
)
_NATIVE = Bounds("a new object there", native(external=1, external_deletes=1))
_SLOW = Bounds("overlapping workers", synced(internal=1, faults=1), overlap=True)
_MERGED = Bounds("duplicates are merged", synced(external_deletes=1, clones=1))
_COPY_EDITED = Bounds("a copy is edited", synced(external=1, external_deletes=1, clones=1))
_BOTH_GONE = Bounds("both duplicates are deleted", synced(external_deletes=2, clones=1, copies=1))
_PARTIAL = Bounds(
    "a field that the external system does not hold",
    partial(synced(internal=1, faults=1)),
    internal_fields=(0, 1),
    holds=(0,),
)
_THIN = Bounds(
    "webhooks that leave a field out, an edit there",
    synced(internal=2, external=1, faults=1),
    internal_fields=(1,),
    tells=(0,),
)
_UPSERTS = Bounds("one object for two creates", two_new(), upserts=True)
_BACK = Bounds(
    "an edit back to a value of ours",
    synced(internal=2, external=1, faults=1),
    origins=Origins.TOLD,
    returns=True,
    crash=False,
)
_HIDDEN = replace(_BACK, name="the same, no origins", origins=Origins.HIDDEN)
_AGED = Bounds(
    "a lost answer and a lifetime",
    synced(internal=2, faults=1, lifetimes=1),
    origins=Origins.HIDDEN,
    crash=False,
)
_TWICE = Bounds(
    "two edits here, one there, one lost answer",
    synced(internal=2, external=1, faults=1),
    crash=False,
)

_POLLED = Bounds(
    "the later edit wins, with polls",
    synced(internal=1, external=1, ticks=1, polls=1),
    policy=ConflictPolicy.LATEST_WINS,
    dated=True,
)

_CONDITIONAL = Bounds(
    "conditional writes",
    versioned(synced(internal=2, external=1)),
    versions=True,
    crash=False,
)

_BLIND = Bounds(
    "answers to pushes show nothing, values are rewritten",
    synced(internal=2),
    rewrites=True,
    blind=True,
    crash=False,
)

_BLIND_FAULT = Bounds(
    "answers to pushes show nothing, an answer is lost",
    synced(internal=2, faults=1),
    blind=True,
    crash=False,
)

_RESTORED = Bounds(
    "an object is deleted and restored",
    synced(external_deletes=1, restores=1, copies=1, ticks=1),
    restores=True,
)
_OLD_NEWS = Bounds(
    "an edit and a delete there", synced(external=1, external_deletes=1), restores=True
)
_GONE_TWICE = Bounds(
    "an object is deleted twice and restored",
    synced(external_deletes=2, restores=1),
    restores=True,
)
_JOINED = Bounds("two of three objects are merged", neighbours(merges=1))
_UNDELETED = Bounds(
    "a record returns by another connection, no edit", synced(external_deletes=1, undeletes=1)
)

_SET_BACK = Bounds("their clock is set back", synced(internal=1, external=1, steps=1), crash=False)

_MATCHED = Bounds("a person on both sides", both_sides(1, 9), matches=True)
_EMPTY = Bounds(
    "a person on both sides, an edit here",
    both_sides(1, 0, internal=1),
    internal_fields=(1,),
    matches=True,
)

MUTATIONS = [
    Mutation(1, "the external clock is never set", _clocks_are_trusted, _SET_BACK),
    Mutation(1, "what overlaps counts as newer", _compare_as(Order.AFTER), _EDITS),
    Mutation(1, "what overlaps counts as older", _compare_as(Order.BEFORE), _EDITS),
    Mutation(2, "answers are judged by clocks alone", _no_causality, _EDITS),
    Mutation(3, "any answer fulfils a request for a fetch", _anything_answers_a_fetch, _EDITS),
    Mutation(3, "a late fetch asks for another", _late_fetch_asks_again, _SLOW),
    Mutation(4, "a replayed answer is news", _replays_are_news, _REPLAY),
    Mutation(5, "own writes are external edits", _nothing_is_our_own, _THEIRS),
    Mutation(
        5, "an answer settles its push before the base has it", _answers_always_settle, _THEIRS
    ),
    Mutation(5, "a push without an answer is ours for ever", _ours_for_ever, _BACK),
    Mutation(5, "an edit that may be our own leaves no trace", _no_trace_of_own_values, _HIDDEN),
    Mutation(6, "no push without an answer ends", _nothing_ends, _AGED),
    Mutation(6, "a push is over by time alone", _over_without_a_look, _AGED),
    Mutation(6, "a value seen once ends two pushes", _all_of_a_value_are_over, _TWICE),
    Mutation(6, "a create is repeated blindly", _creates_are_repeated_blindly, _NEW),
    Mutation(6, "an update is repeated without a look", _lost_updates_are_not_looked_for, _FAULT),
    Mutation(7, "a webhook before the answer makes a record", _webhooks_do_not_link, _NEW),
    Mutation(7, "the create's body is not the base", _links_forget_the_create, _NEW_THEIRS),
    Mutation(7, "an object does not outlive its record", _survivors_stay_duplicates, _MERGED),
    Mutation(7, "late news of a former duplicate count", _survivors_are_not_doubted, _COPY_EDITED),
    Mutation(7, "an object is not matched", _objects_are_not_matched, _MATCHED),
    Mutation(7, "a match empties fields", _a_match_takes_the_object_as_it_is, _EMPTY),
    Mutation(8, "a deleted duplicate is forgotten", _deleted_duplicates_are_forgotten, _BOTH_GONE),
    Mutation(8, "a tombstone is revived", _tombstones_are_forgotten, _DELETES),
    Mutation(8, "a delete before its create is forgotten", _early_deletes_are_ignored, _NATIVE),
    Mutation(8, "an edit wins over a delete", _edits_win_over_deletes, _DELETES),
    Mutation(8, "a merge is a delete", _merges_are_deletes, _JOINED),
    Mutation(8, "an old delete ends a restored record", _old_deletes_count, _RESTORED),
    Mutation(8, "any sight of a deleted object restores it", _any_sight_restores, _OLD_NEWS),
    Mutation(8, "a look survives a further delete", _further_deletes_are_known, _GONE_TWICE),
    Mutation(8, "a former object is not looked at", _former_objects_are_left, _UNDELETED),
    Mutation(9, "a conflict leaves no trace", _conflicts_leave_no_trace, _THEIRS),
    Mutation(9, "the time of a look decides", _a_look_counts_as_an_edit, _POLLED),
    Mutation(9, "a base has no version", _pushes_name_no_version, _CONDITIONAL),
    Mutation(7, "another record's object is taken", _other_records_answers_count, _UPSERTS),
    Mutation(10, "an answer without a body is trusted", _blank_answers_are_trusted, _BLIND),
    Mutation(
        10, "an answer without a body is newer", _blank_answers_are_always_newer, _BLIND_FAULT
    ),
    Mutation(10, "what was not seen is empty", _filled_as(_not_seen_is_empty), _PARTIAL),
    Mutation(10, "what was not seen was rewritten", _not_seen_is_rewritten, _THIN),
    Mutation(10, "an unseen field has no seen leaf", _nothing_is_seen_apart, _THIN),
    Mutation(
        10, "what was not seen was not sent either", _filled_as(_not_seen_was_not_sent), _PARTIAL
    ),
]
