"""The end of pushes without an answer, each in its smallest case; docs/kernel.md explains it."""

from dataclasses import replace

import pytest

from tests.kernel.cases import (
    EXTERNAL_WINS,
    FETCH,
    INTERNAL_WINS,
    SENT,
    UNKNOWN,
    intent,
    mapping,
    record,
    second,
    seen,
    take,
)
from zenskar import kernel
from zenskar.kernel import Situation, Verdict
from zenskar.kernel.policy import Ground, Side
from zenskar.model.record import Intent, IntentKind, IntentState

NAME = ("/name",)


def lost_bob(**more: object) -> Situation:
    """Bob was pushed without an answer; both sides agree on Cyd since."""
    return Situation(record("Cyd"), mapping("Cyd"), (intent("Bob", UNKNOWN, **more),))


def test_rule_6_a_look_that_shows_what_it_wrote_ends_it() -> None:
    known = Situation(record("Bob"), mapping(), (intent("Bob", UNKNOWN),))
    outcome = take(known, seen("Bob", kind=FETCH, seen_revision=5))
    assert (outcome.record_changes, outcome.conflicts) == ({}, ())
    assert (outcome.settled, outcome.ended) == ((), ("k1",))


def test_rule_6_a_look_that_shows_nothing_of_it_does_not() -> None:
    known = Situation(record("Bob"), mapping(), (intent("Bob", UNKNOWN),))
    assert take(known, seen("Ada", kind=FETCH, seen_revision=5)).ended == ()


def test_rule_6_what_the_base_has_since_long_shows_nothing_of_it() -> None:
    """The value was pushed again since, and the first request may still arrive."""
    known = Situation(record("Bob"), mapping("Bob"), (intent("Bob", UNKNOWN),))
    assert take(known, seen("Bob", kind=FETCH, seen_revision=5)).ended == ()


@pytest.mark.parametrize("state", [SENT, UNKNOWN])
def test_rule_6_one_sight_of_a_value_ends_none_of_two_pushes(state) -> None:
    """Found by the search: the other push arrived late, and was taken for an external edit."""
    pushes = (intent("Bob", UNKNOWN), intent("Bob", state, id="k2"))
    known = Situation(record("Bob"), mapping(), pushes)
    assert take(known, seen("Bob", kind=FETCH, seen_revision=5)).ended == ()


def test_rule_5_somebody_elses_edit_that_was_overwritten_unseen_leaves_a_trace() -> None:
    """Found by the search: the push had changed the field back to the base, as a fetch showed."""
    outcome = take(Situation(record("Cyd"), mapping()), seen("Ada", at=9, changed=NAME))
    assert (outcome.verdict, outcome.seen_changes) == (Verdict.STALE, {"/name": "Ada"})


def test_rule_6_the_answer_to_another_push_of_the_same_value_says_nothing_of_it() -> None:
    pushes = (intent("Bob", UNKNOWN), intent("Bob", SENT, id="k2"))
    known = Situation(record("Bob"), mapping(), pushes)
    outcome = take(known, seen("Bob", at=11, seen_revision=5, intent_id="k2"))
    assert (outcome.settled, outcome.ended) == (("k2",), ())


def test_rule_6_its_key_ends_it_whatever_the_object_shows() -> None:
    outcome = take(lost_bob(), seen("Eve", at=11, origin_key="k1"))
    assert (outcome.settled, outcome.ended) == ((), ("k1",))


def test_rule_6_its_key_settles_one_whose_worker_waits_or_is_dead() -> None:
    known = Situation(record("Bob"), mapping(), (intent("Bob", SENT),))
    assert take(known, seen("Bob", at=11, origin_key="k1")).settled == ("k1",)


@pytest.mark.parametrize("policy", [INTERNAL_WINS, EXTERNAL_WINS])
def test_rule_5_an_edit_of_somebody_else_is_an_edit_though_we_wrote_that_once(policy) -> None:
    outcome = take(lost_bob(), seen("Bob", at=11, changed=NAME), policy)
    assert (outcome.record_changes, outcome.conflicts) == ({"/name": "Bob"}, ())
    assert outcome.ended == ("k1",)


def test_rule_5_an_edit_of_another_key_is_one_too() -> None:
    outcome = take(lost_bob(), seen("Bob", at=11, origin_key="other", changed=NAME))
    assert outcome.record_changes == {"/name": "Bob"}


def test_rule_5_an_edit_of_another_field_says_nothing_of_this_one() -> None:
    """The shown value may also be our own write, whose webhook comes later."""
    outcome = take(lost_bob(), seen("Bob", at=11, changed=("/phone",)), EXTERNAL_WINS)
    assert outcome.record_changes == {}
    assert [conflict.policy for conflict in outcome.conflicts] == [Ground.OWN_PUSH]


def test_rule_5_somebody_elses_edit_of_the_same_second_is_told_from_ours_before_the_fetch() -> None:
    outcome = take(lost_bob(), seen("Bob", at=10, changed=("",)))
    assert (outcome.verdict, outcome.ended) == (Verdict.AMBIGUOUS, ("k1",))
    assert outcome.mapping is not None
    later = Situation(record("Cyd"), outcome.mapping, (intent("Bob", IntentState.ENDED),))
    fetched = take(later, seen("Bob", kind=FETCH, seen_revision=6))
    assert fetched.record_changes == {"/name": "Bob"}


def test_rule_5_it_is_not_where_that_value_is_on_its_way_from_here() -> None:
    """Found by the search: a value that we applied and pushed came back as an external edit."""
    known = Situation(record("Bob"), mapping("Cyd"), (intent("Bob", UNKNOWN),))
    assert take(known, seen("Bob", at=10, changed=NAME)).ended == ()


def test_rule_6_a_late_arrival_of_what_has_ended_is_recognised_by_its_key() -> None:
    known = Situation(record("Cyd"), mapping("Cyd"), (intent("Bob", IntentState.ENDED),))
    later = take(known, seen("Bob", at=11, origin_key="k1", changed=NAME), EXTERNAL_WINS)
    assert (later.verdict, later.record_changes) == (Verdict.MERGED, {})
    unclear = take(known, seen("Bob", at=10, origin_key="k1", changed=NAME))
    assert (unclear.verdict, unclear.unconfirmed) == (Verdict.AMBIGUOUS, ("k1",))


@pytest.mark.parametrize("policy", [INTERNAL_WINS, EXTERNAL_WINS])
def test_rule_5_a_value_that_may_be_anybodys_stays_ours_and_is_a_conflict(policy) -> None:
    outcome = take(lost_bob(), seen("Bob", at=11), policy)
    (conflict,) = outcome.conflicts
    assert (conflict.external, conflict.internal) == ("Bob", "Cyd")
    assert (conflict.winner, conflict.policy) == (Side.INTERNAL, Ground.OWN_PUSH)
    assert (outcome.record_changes, outcome.ended) == ({}, ("k1",))
    after = Situation(record("Cyd"), outcome.mapping, (intent("Bob", IntentState.ENDED),))
    again = replace(after, mapping=mapping("Cyd", asof=second(12)))
    assert take(again, seen("Bob", at=13)).record_changes == {"/name": "Bob"}


def test_rule_5_a_push_under_way_makes_no_conflict_of_its_own_echo() -> None:
    known = Situation(record("Cyd"), mapping(), (intent("Bob", SENT),))
    outcome = take(known, seen("Bob", at=11))
    assert (outcome.record_changes, outcome.conflicts) == ({}, ())


@pytest.mark.parametrize(("may_arrive", "over"), [(True, ()), (False, ("k1",))])
def test_rule_6_a_fetch_after_its_lifetime_ends_it(may_arrive, over) -> None:
    known = lost_bob(may_arrive=may_arrive)
    assert take(known, seen("Cyd", kind=FETCH, seen_revision=5)).ended == over


def test_rule_6_a_webhook_may_be_older_than_that() -> None:
    """Found by the search: the answer showed the state before the push arrived."""
    assert take(lost_bob(may_arrive=False), seen("Cyd", at=11)).ended == ()


def test_rule_6_that_fetch_may_still_show_it() -> None:
    """Found by the search: the push had arrived in time, but no fetch had shown it."""
    known = lost_bob(may_arrive=False)
    outcome = take(known, seen("Bob", kind=FETCH, seen_revision=5), EXTERNAL_WINS)
    assert (outcome.record_changes, outcome.ended) == ({}, ("k1",))


def test_rule_6_nothing_more_is_awaited_of_an_object_that_is_gone() -> None:
    gone = take(lost_bob(), seen(None, at=11))
    assert (gone.verdict, gone.ended) == (Verdict.DELETED, ("k1",))
    deletes = Intent("k1", IntentKind.DELETE, {}, revision=5, state=UNKNOWN)
    removed = Situation(record("Cyd", deleted=True), mapping("Cyd"), (deletes,))
    assert take(removed, seen(None, at=11)).ended == ("k1",)


def test_rule_6_a_create_whose_object_is_known_already_has_landed() -> None:
    create = intent("Ada", UNKNOWN, kind=IntentKind.CREATE, revision=0)
    outcome = kernel.lost(Situation(record(), mapping(), (create,)), "k1")
    assert (outcome.verdict, outcome.ended) == (Verdict.LOST, ("k1",))
    assert kernel.lost(Situation(record(), None, (create,)), "k1").ended == ()


def test_rule_5_a_change_back_to_the_base_leaves_a_trace_when_somebody_else_is_told() -> None:
    known = Situation(record("Cyd"), mapping())
    outcome = take(known, seen("Ada", at=11, changed=NAME))
    assert (outcome.record_changes, outcome.seen_changes) == ({}, {"/name": "Ada"})
