"""Rule 10: an unseen field is not empty. Each case is the smallest; docs/kernel.md explains."""

from dataclasses import replace

import pytest

from tests.kernel.cases import (
    ANSWER,
    ANSWERED,
    EXTERNAL_WINS,
    FETCH,
    SENT,
    UNKNOWN,
    WEBHOOK,
    intent,
    mapping,
    record,
    second,
    seen,
    step,
    take,
)
from zenskar.kernel import Outcome, Situation, StepKind, Verdict
from zenskar.model.fields import Fields
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import IntentKind, Record

UNSEEN = frozenset({"phone", "metadata"})
FULL = {"/name": "Ada", "/phone": "1", "/metadata/plan": "pro"}
HERE = Record("r1", FULL)
IN_SYNC = Situation(HERE, replace(mapping(), base=FULL))


def partial(name: str = "Ada", at: int = 12, **more) -> Observation:
    """Return an observation that shows the name only."""
    return seen(name, at, unseen=UNSEEN, **more)


def base(outcome: Outcome) -> Fields:
    assert outcome.mapping is not None
    return outcome.mapping.base


@pytest.mark.parametrize("kind", ObservationKind)
def test_rule_10_what_was_not_seen_stays_as_it_was(kind) -> None:
    outcome = take(IN_SYNC, partial("Eve", kind=kind))
    assert outcome.record_changes == {"/name": "Eve"}
    assert base(outcome) == FULL | {"/name": "Eve"}


def test_rule_10_null_is_empty() -> None:
    """A keyed field, too, can be unseen as a whole only."""
    outcome = take(IN_SYNC, replace(partial(), unseen=frozenset({"phone"})))
    assert outcome.record_changes == {"/metadata/plan": None}
    assert base(outcome) == {"/name": "Ada", "/phone": "1"}


@pytest.mark.parametrize(("kind", "name"), [(ANSWER, "intent_id"), (WEBHOOK, "origin_key")])
def test_rule_10_a_push_that_has_landed_left_what_it_sent(kind, name) -> None:
    sent = {"/phone": "2", "/metadata/plan": None, "/metadata/a": "b"}
    push = replace(intent("Ada"), changes=sent)
    after = {"/name": "Ada", "/phone": "2", "/metadata/a": "b"}
    outcome = take(
        replace(IN_SYNC, record=Record("r1", after), intents=(push,)),
        partial(kind=kind, **{name: "k1"}),
    )
    assert (outcome.record_changes, outcome.conflicts) == ({}, ())
    assert base(outcome) == after


def test_rule_10_a_late_webhook_does_not_say_that_what_was_sent_is_kept_otherwise() -> None:
    """Found by the search: a later push's value was taken for an external edit."""
    old = replace(intent("Bob", ANSWERED), changes={"/phone": "0"})
    known = Situation(Record("r1", {"/name": "Ada", "/phone": "0"}), IN_SYNC.mapping, (old,))
    outcome = take(known, partial(origin_key="k1"))
    assert (outcome.record_changes, outcome.conflicts) == ({}, ())


def test_rule_10_a_push_that_was_answered_before_tells_nothing_new() -> None:
    old = replace(intent("Bob", ANSWERED), changes={"/name": "Bob", "/phone": "0"})
    outcome = take(replace(IN_SYNC, intents=(old,)), partial("Eve", origin_key="k1"))
    assert base(outcome) == FULL | {"/name": "Eve"}


def test_rule_10_what_a_push_wrote_and_is_not_seen_was_not_rewritten() -> None:
    """Found by the search: a late webhook of an answered push, after the base had moved on."""
    old = replace(intent("Ada", ANSWERED), changes={"/phone": "2"})
    known = replace(IN_SYNC, record=Record("r1", FULL | {"/phone": "2"}), intents=(old,))
    outcome = take(known, partial(origin_key="k1"))
    assert (outcome.record_changes, outcome.conflicts) == ({}, ())


def test_rule_10_in_doubt_a_look_decides_and_the_push_is_not_repeated() -> None:
    """Found by the search: two workers pushed the same value forever, since no fetch showed it."""
    push = replace(intent("Ada"), changes={"/phone": "2"}, revision=4)
    known = replace(IN_SYNC, record=Record("r1", FULL | {"/phone": "2"}), intents=(push,))
    outcome = take(known, partial(at=10, kind=ANSWER, seen_revision=4, intent_id="k1"))
    assert (outcome.verdict, base(outcome)) == (Verdict.AMBIGUOUS, FULL | {"/phone": "2"})
    fetched = take(
        Situation(known.record, outcome.mapping),
        partial(at=10, kind=FETCH, seen_revision=6),
    )
    assert step(Situation(known.record, fetched.mapping)) is StepKind.NOTHING


@pytest.mark.parametrize("at", [8, 10])
def test_rule_10_an_old_webhook_of_a_push_whose_answer_was_lost_asks_for_a_look(at: int) -> None:
    push = replace(intent("Ada", UNKNOWN), changes={"/phone": "2"})
    outcome = take(replace(IN_SYNC, intents=(push,)), partial(at=at, origin_key="k1"))
    assert outcome.verdict is Verdict.AMBIGUOUS
    assert base(outcome) == FULL
    assert step(Situation(HERE, outcome.mapping)) is StepKind.FETCH
    later = take(replace(IN_SYNC, intents=(push,)), partial(origin_key="k1"))
    assert base(later)["/phone"] == "2"


def test_rule_10_a_stranger_has_what_was_seen_of_it() -> None:
    outcome = take(Situation(), partial())
    assert (outcome.record_changes, base(outcome)) == ({"/name": "Ada"}, {"/name": "Ada"})


@pytest.mark.parametrize("kind", ObservationKind)
def test_rule_10_a_linked_object_has_what_the_create_sent(kind) -> None:
    create = replace(intent("Ada", SENT), changes=FULL, kind=IntentKind.CREATE, revision=0)
    edited = Record("r1", FULL | {"/phone": "2"})
    known = Situation(edited, None, (create,))
    outcome = take(known, partial(kind=kind, record_id="r1"), EXTERNAL_WINS)
    assert (outcome.record_changes, base(outcome)) == ({}, FULL)
    assert step(Situation(edited, outcome.mapping)) is StepKind.UPDATE


def test_rule_10_an_object_is_looked_at_before_what_nobody_saw_of_it_is_written() -> None:
    outcome = take(Situation(HERE), partial(record_id="r1"))
    assert outcome.record_changes == {}
    assert step(Situation(HERE, outcome.mapping)) is StepKind.FETCH
    assert outcome.mapping is not None
    looked = take(
        Situation(HERE, outcome.mapping),
        Observation(FETCH, "x1", second(13), {"/name": "Ada", "/phone": "5"}, seen_revision=1),
    )
    (conflict,) = looked.conflicts
    assert (conflict.base, conflict.internal, conflict.external) == (None, "1", "5")


def test_rule_10_an_object_that_shows_enough_is_not_looked_at_again() -> None:
    outcome = take(Situation(record()), partial(record_id="r1"))
    assert step(Situation(record(), outcome.mapping)) is StepKind.NOTHING
