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
from zenskar.model.record import ExternalMapping, IntentKind, Record

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


@pytest.mark.parametrize(
    "part",
    [
        {"unseen": frozenset({"/phone", "metadata"})},
        {"unseen": UNSEEN | {"name"}, "apart": frozenset({"/name"})},
    ],
)
def test_rule_10_a_leaf_may_be_unseen_or_seen_apart(part: dict[str, frozenset[str]]) -> None:
    outcome = take(IN_SYNC, replace(partial("Eve"), **part))
    assert (outcome.record_changes, base(outcome)) == ({"/name": "Eve"}, FULL | {"/name": "Eve"})


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


def blank(**more) -> Observation:
    """Return the answer to a push which does not show the object."""
    known = {"seen_revision": 5, "intent_id": "k1"} | more
    return Observation(ANSWER, "x1", second(10), {}, unseen=ALL, blank=True, **known)


ALL = frozenset({"name", "phone"})


def test_rule_10_an_answer_without_a_body_counts_as_sent_until_the_fetch() -> None:
    known = Situation(record("Eve"), mapping(), (intent("Eve"),))
    outcome = take(known, blank())
    assert (outcome.settled, outcome.record_changes, outcome.conflicts) == (("k1",), {}, ())
    assert outcome.mapping.base == {"/name": "Eve"}
    assert step(Situation(record("Eve"), outcome.mapping)) is StepKind.FETCH
    shown = seen("EVE", 10, FETCH, seen_revision=outcome.mapping.revision)
    fetched = take(Situation(record("Eve"), outcome.mapping), shown)
    assert fetched.record_changes == {"/name": "EVE"}
    assert fetched.mapping.fetch_revision is None


def test_rule_10_an_answer_without_a_body_whose_order_is_open_changes_no_base() -> None:
    known = Situation(record("Eve"), mapping(revision=6), (intent("Eve"),))
    outcome = take(known, blank())
    assert (outcome.verdict, outcome.unconfirmed) == (Verdict.AMBIGUOUS, ("k1",))
    assert outcome.mapping.base == {"/name": "Ada"}
    assert step(Situation(record("Eve"), outcome.mapping)) is StepKind.FETCH


def test_rule_10_a_create_without_a_body_links_its_object_and_is_followed_by_a_fetch() -> None:
    create = intent("Ada", kind=IntentKind.CREATE, revision=0)
    outcome = take(Situation(record(), intents=(create,)), blank(record_id="r1", seen_revision=0))
    assert (outcome.verdict, outcome.mapping.base) == (Verdict.LINKED, {"/name": "Ada"})
    assert step(Situation(record(), outcome.mapping)) is StepKind.FETCH


def test_rule_10_a_memo_that_is_not_made_here_stays() -> None:
    known = Situation(record(), mapping(memo={"item": 1}))
    assert take(known, seen("Eve", 11)).mapping.memo == {"item": 1}
    assert take(known, seen("Eve", 11, memo={"item": 2})).mapping.memo == {"item": 2}
    assert take(known, seen("Eve", 11, memo={})).mapping.memo == {}
    assert take(Situation(), seen("Ada", memo={"item": 1})).mapping.memo == {"item": 1}


def test_rule_10_another_memo_in_the_same_second_is_looked_at() -> None:
    known = Situation(record(), mapping(memo={"item": 1}))
    assert take(known, seen("Ada", memo={"item": 1})).verdict is Verdict.CONFIRMED
    outcome = take(known, seen("Ada", memo={"item": 2}))
    assert (outcome.verdict, outcome.mapping.memo) == (Verdict.AMBIGUOUS, {"item": 1})
    late = take(known, seen("Ada", 9, memo={"item": 2}))
    assert (late.verdict, late.mapping) == (Verdict.STALE, None)


def test_rule_10_an_erased_record_keeps_no_memo_and_no_version() -> None:
    erased = record(None, deleted=True, erased=True)
    bare = ExternalMapping("x1", "r1", {}, second(10), revision=5)
    outcome = take(Situation(erased, bare), seen("Eve", 11, memo={"item": 2}, version="v2"))
    assert (outcome.mapping.memo, outcome.mapping.version) == (None, None)
