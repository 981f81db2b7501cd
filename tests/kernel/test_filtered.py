"""The table of records outside and inside of a filter, docs/kernel.md."""

from dataclasses import replace
from typing import Any

import pytest

from tests.kernel.cases import (
    ANSWER,
    EXTERNAL_WINS,
    FETCH,
    INTERNAL_WINS,
    SENT,
    UNKNOWN,
    WEBHOOK,
    intent,
    mapping,
    record,
    second,
    seen,
)
from zenskar import kernel
from zenskar.kernel import Candidate, MergePolicy, Outcome, Situation, StepKind, Verdict
from zenskar.model.fields import apply
from zenskar.model.observation import Observation
from zenskar.model.record import ExternalMapping, IntentKind, MappingState, Record

# Names that begin with "in" pass the filter.
IN, IN_2, OUT, OUT_2 = "in", "in 2", "out", "out 2"
LINKED = mapping(IN)
FORMER = kernel.released(LINKED)
RESTORES = replace(INTERNAL_WINS, restores=True)


def take(situation: Situation, news: Observation, policy: MergePolicy = INTERNAL_WINS) -> Outcome:
    """Observe an external object at a connection with the filter."""
    known = [situation.record, *(each.record for each in situation.candidates)]

    def passes(outcome: Outcome) -> bool:
        owner = outcome.mapping.entity_id if outcome.mapping is not None else None
        here = next((r for r in known if r is not None and owner in {None, r.id}), None)
        fields = {} if here is None or outcome.create_record else here.fields
        return str(apply(fields, outcome.record_changes).get("/name")).startswith(IN)

    return kernel.observe_filtered(situation, news, policy, passes, new_record_id="r2")


def step(situation: Situation) -> StepKind:
    """Return the next step of a record that does not pass."""
    return kernel.plan_outside(situation).kind


def look(name: str | None, at: int = 30, **more: Any) -> Observation:
    return seen(name, at, FETCH, **({"seen_revision": FORMER.revision} | more))


def with_phone(news: Observation) -> Observation:
    return replace(news, fields={**(news.fields or {}), "/phone": "2"})


def stays_outside(outcome: Outcome) -> bool:
    return outcome.verdict is Verdict.OUTSIDE and not outcome.changes_record


def linked_as(outcome: Outcome) -> ExternalMapping:
    assert outcome.mapping is not None
    return outcome.mapping


def test_a_record_without_an_object_gets_none() -> None:
    assert step(Situation(record(OUT))) is StepKind.NOTHING
    assert step(Situation(record(OUT, deleted=True))) is StepKind.NOTHING


def test_an_unknown_object_becomes_a_record_only_if_it_passes() -> None:
    assert take(Situation(), seen(OUT)) == Outcome(Verdict.OUTSIDE)
    created = take(Situation(), seen(IN))
    assert created.create_record
    # A later webhook may have been ignored before.
    assert linked_as(created).fetch_revision == linked_as(created).revision
    assert linked_as(take(Situation(), seen(IN, kind=FETCH))).fetch_revision is None


@pytest.mark.parametrize("matched", [False, True])
def test_the_object_of_a_record_outside_is_kept_for_its_entry(matched: bool) -> None:
    here = record(OUT)
    if matched:
        known = Situation(candidates=(Candidate(here, free=True),), match_by=("name",))
        outcome = take(known, seen(OUT))
    else:
        outcome = take(Situation(here), seen(OUT_2, record_id="r1"))
    assert stays_outside(outcome)
    assert kernel.is_former(linked_as(outcome))
    # Both sides are joined later: nothing is agreed on yet.
    assert (linked_as(outcome).base, linked_as(outcome).entity_id) == ({}, "r1")
    entered = replace(here, fields={"/name": IN, "/phone": "1"})
    joined = take(Situation(entered, outcome.mapping), look(OUT_2, seen_revision=2))
    assert (joined.verdict, [c.external for c in joined.conflicts]) == (Verdict.ENTERED, [OUT_2])


def test_an_object_that_brings_its_values_to_the_record_may_bring_it_in() -> None:
    outcome = take(Situation(record(OUT)), seen(IN, record_id="r1"), EXTERNAL_WINS)
    assert (outcome.verdict, outcome.record_changes) == (Verdict.LINKED, {"/name": IN})


def test_a_second_object_of_a_record_outside_stays_a_duplicate() -> None:
    copy = seen(IN, 30, external_id="x2", record_id="r1")
    outcome = take(Situation(record(OUT), rival=FORMER), copy, EXTERNAL_WINS)
    assert (outcome.verdict, outcome.mapping) == (Verdict.DUPLICATE, None)


def test_an_edit_there_that_makes_a_record_leave_is_merged() -> None:
    outcome = take(Situation(record(IN), LINKED), seen(OUT, 20))
    assert (outcome.verdict, outcome.record_changes) == (Verdict.MERGED, {"/name": OUT})
    after = Situation(record(OUT), outcome.mapping)
    assert step(after) is StepKind.LEAVE


def test_the_object_of_a_record_that_leaves_is_released_and_never_changed() -> None:
    assert step(Situation(record(OUT), LINKED)) is StepKind.LEAVE
    assert (FORMER.state, FORMER.detached, FORMER.base) == (MappingState.DELETED, True, LINKED.base)
    assert step(Situation(record(OUT), FORMER)) is StepKind.NOTHING


@pytest.mark.parametrize("known", [LINKED, FORMER], ids=["linked", "former"])
def test_edits_of_an_object_outside_change_no_record(known: ExternalMapping) -> None:
    situation = Situation(record(OUT), known)
    for news in (seen(IN, 20), with_phone(seen(IN, 20)), look(IN), seen(IN, 5)):
        outcome = take(situation, news)
        assert stays_outside(outcome)
    bumped = linked_as(take(situation, seen(IN, 20)))
    # A fetch that was sent before this edit does not answer the request.
    assert bumped.fetch_revision == bumped.revision > known.revision


@pytest.mark.parametrize("known", [LINKED, FORMER], ids=["linked", "former"])
def test_an_edit_here_that_makes_a_record_enter_looks_first_and_then_merges(known) -> None:
    here = record(IN_2)
    assert kernel.plan(Situation(here, FORMER), propagate_deletes=True).kind is StepKind.FETCH
    news = look("theirs") if known is FORMER else seen("theirs", 20)
    outcome = take(Situation(here, known), with_phone(news))
    assert [(c.path, c.base, c.external) for c in outcome.conflicts] == [("/name", IN, "theirs")]
    assert outcome.record_changes == {"/phone": "2"}
    assert linked_as(outcome).active
    assert outcome.verdict is (Verdict.ENTERED if known is FORMER else Verdict.MERGED)


def test_an_edit_there_that_makes_a_record_enter_is_proven_by_a_look() -> None:
    former = replace(FORMER, base={"/name": OUT})
    outside = Situation(record(OUT), former)
    outcome = take(outside, seen(IN, 20))
    assert (outcome.verdict, outcome.look) == (Verdict.AMBIGUOUS, "x1")
    assert not outcome.changes_record
    known = replace(outside, mapping=outcome.mapping)
    entered = take(known, look(IN, seen_revision=linked_as(outcome).revision))
    assert (entered.verdict, entered.record_changes) == (Verdict.ENTERED, {"/name": IN})
    # The object was changed back before the look.
    left = take(known, look(OUT_2, seen_revision=linked_as(outcome).revision))
    assert stays_outside(left)


@pytest.mark.parametrize("base", [mapping(OUT), replace(FORMER, base={"/name": OUT})])
def test_an_edit_in_the_same_second_is_looked_at(base: ExternalMapping) -> None:
    outcome = take(Situation(record(OUT), base), seen(IN, 10))
    assert (outcome.verdict, outcome.look) == (Verdict.AMBIGUOUS, "x1")
    assert kernel.is_former(linked_as(outcome))


@pytest.mark.parametrize("policy", [INTERNAL_WINS, RESTORES], ids=["final", "restores"])
@pytest.mark.parametrize("known", [LINKED, FORMER, None], ids=["linked", "former", "unknown"])
def test_a_delete_there_deletes_no_record_outside(known, policy: MergePolicy) -> None:
    outcome = take(Situation(record(OUT), known), seen(None, 20, record_id="r1"), policy)
    assert stays_outside(outcome)
    ended = linked_as(outcome)
    assert (ended.active, ended.detached, ended.ended_record) == (False, True, False)
    entered = kernel.plan(Situation(record(IN), ended), propagate_deletes=True).kind
    assert entered is (StepKind.FETCH if policy.restores else StepKind.CREATE)


def test_a_delete_there_that_nobody_told_of_deletes_no_record_that_enters() -> None:
    outcome = take(Situation(record(IN), FORMER), look(None))
    assert not outcome.delete_record
    again = Situation(record(IN), outcome.mapping)
    assert kernel.plan(again, propagate_deletes=True).kind is StepKind.CREATE


def test_a_delete_there_deletes_a_record_inside() -> None:
    assert take(Situation(record(IN), LINKED), seen(None, 20)).delete_record


def test_a_delete_here_keeps_the_object_outside() -> None:
    assert step(Situation(record(OUT, deleted=True), LINKED)) is StepKind.DETACH
    assert step(Situation(record(OUT, deleted=True), FORMER)) is StepKind.NOTHING


def test_a_merge_there_moves_a_record_outside_to_the_successor() -> None:
    news = seen(None, 20, merged_into="x2")
    for known in (LINKED, FORMER):
        outcome = take(Situation(record(OUT), known), news)
        assert outcome.successor is not None
        assert step(Situation(record(OUT), outcome.successor)) is StepKind.LEAVE
    gone = ExternalMapping("x2", None, {}, second(15), state=MappingState.DELETED)
    outcome = take(Situation(record(OUT), LINKED, successor=gone), news)
    assert stays_outside(outcome)


def test_a_push_without_an_answer_is_resolved_first() -> None:
    update = intent("in sent", SENT)
    assert step(Situation(record(OUT), LINKED, (update,))) is StepKind.WAIT
    answer = seen("in sent", 20, ANSWER, intent_id="k1", seen_revision=5)
    outcome = take(Situation(record(OUT), LINKED, (update,)), answer)
    assert (outcome.settled, linked_as(outcome).base) == (("k1",), {"/name": "in sent"})
    lost = replace(update, state=UNKNOWN)
    assert step(Situation(record(OUT), LINKED, (lost,))) is StepKind.LEAVE
    late = seen("in sent", 20, ANSWER, intent_id="k1", seen_revision=5)
    outcome = take(Situation(record(OUT), FORMER, (lost,)), late)
    assert (outcome.settled, outcome.unconfirmed) == ((), ("k1",))
    # The value of the lost push is no edit of the other side.
    shown = take(Situation(record(IN_2), FORMER, (lost,)), look("in sent"), EXTERNAL_WINS)
    assert (shown.verdict, shown.record_changes) == (Verdict.ENTERED, {})


def test_a_create_without_an_answer_is_looked_up_and_never_repeated() -> None:
    create = intent(None, UNKNOWN, kind=IntentKind.CREATE, changes={"/name": IN}, revision=0)
    outside = Situation(record(OUT), intents=(create,))
    # The create may still arrive, so a search that finds nothing proves nothing.
    assert step(outside) is StepKind.NOTHING
    forgotten = replace(create, key_alive=False)
    assert step(replace(outside, intents=(forgotten,))) is StepKind.FIND
    assert kernel.plan(replace(outside, record=record(IN)), propagate_deletes=True).kind is (
        StepKind.RESEND
    )
    found = take(outside, seen(IN, 20, FETCH, record_id="r1"))
    assert (found.verdict, linked_as(found).base) == (Verdict.LINKED, {"/name": IN})
    assert step(Situation(record(OUT), found.mapping)) is StepKind.LEAVE


def test_no_sight_brings_a_record_that_was_deleted_back() -> None:
    gone = Situation(Record("r1", {"/name": OUT}, deleted=True), FORMER)
    for news in (seen(IN, 20, WEBHOOK), look(IN), seen(None, 20)):
        outcome = take(gone, news)
        assert (outcome.verdict, outcome.changes_record) == (Verdict.TOMBSTONE, False)
