"""Rules 1 to 5, one after the other, each in its smallest case; docs/kernel.md explains them."""

from dataclasses import replace

import pytest

from tests.kernel.cases import (
    ANSWER,
    ANSWERED,
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
    step,
    take,
)
from zenskar.kernel import Situation, StepKind, Verdict
from zenskar.model.record import IntentKind

SYNCED = Situation(record(), mapping())


# Rule 1: intervals, not instants


def test_rule_1_news_of_an_earlier_second_is_stale() -> None:
    outcome = take(SYNCED, seen("Bob", at=9))
    assert (outcome.verdict, outcome.mapping, outcome.record_changes) == (Verdict.STALE, None, {})
    assert outcome.seen_changes == {"/name": "Bob"}


def test_rule_1_news_of_a_later_second_is_taken_in() -> None:
    outcome = take(SYNCED, seen("Bob", at=11))
    assert (outcome.verdict, outcome.record_changes) == (Verdict.MERGED, {"/name": "Bob"})
    assert outcome.mapping is not None
    assert (outcome.mapping.base, outcome.mapping.asof) == ({"/name": "Bob"}, second(11))


def test_rule_1_other_news_of_the_same_second_needs_a_look() -> None:
    outcome = take(SYNCED, seen("Bob", at=10))
    assert (outcome.verdict, outcome.record_changes) == (Verdict.AMBIGUOUS, {})
    assert outcome.mapping is not None
    assert outcome.mapping.fetch_revision == outcome.mapping.revision == 6
    assert outcome.seen_changes == {"/name": "Bob"}
    assert step(replace(SYNCED, mapping=outcome.mapping)) is StepKind.FETCH


def test_rule_1_equal_news_of_the_same_second_confirms() -> None:
    outcome = take(SYNCED, seen("Ada", at=10))
    assert (outcome.verdict, outcome.seen_changes) == (Verdict.CONFIRMED, {})


# Rule 2: causality beats clocks


@pytest.mark.parametrize("at", [9, 10, 11])
def test_rule_2_an_answer_is_newer_when_nothing_was_learnt_since_its_call(at: int) -> None:
    outcome = take(SYNCED, seen("Bob", at, FETCH, seen_revision=5))
    assert (outcome.verdict, outcome.record_changes) == (Verdict.MERGED, {"/name": "Bob"})


def test_rule_2_an_answer_is_judged_by_clocks_when_something_was_learnt() -> None:
    outcome = take(SYNCED, seen("Bob", 10, FETCH, seen_revision=4))
    assert outcome.verdict is Verdict.AMBIGUOUS


@pytest.mark.parametrize("later", [seen("Ada"), seen("Bob"), seen("Bob", at=11)])
def test_rule_2_every_observation_raises_the_revision(later) -> None:
    outcome = take(SYNCED, later)
    assert outcome.mapping is not None
    assert outcome.mapping.revision == 6


# Rule 3: a request for a fetch is satisfied by a fetch sent after it was raised

WANTED = Situation(record("Bob"), mapping(fetch_revision=4))


def test_rule_3_an_answer_to_a_push_does_not_satisfy_it() -> None:
    outcome = take(WANTED, seen("Bob", 10, ANSWER, seen_revision=5, intent_id="k1"))
    assert outcome.mapping is not None
    assert outcome.mapping.fetch_revision == 4


@pytest.mark.parametrize(("sent_at", "left"), [(3, 4), (4, None), (5, None)])
def test_rule_3_only_a_fetch_sent_afterwards_satisfies_it(sent_at: int, left: int | None) -> None:
    outcome = take(WANTED, seen("Ada", 10, FETCH, seen_revision=sent_at))
    assert outcome.mapping is not None
    assert outcome.mapping.fetch_revision == left


def test_rule_3_a_fetch_that_shows_what_is_old_satisfies_it_too() -> None:
    outcome = take(WANTED, seen("Ada", 9, FETCH, seen_revision=4))
    assert outcome.verdict is Verdict.STALE
    assert outcome.mapping is not None
    assert outcome.mapping.fetch_revision is None


def test_rule_3_a_fetch_that_comes_too_late_leaves_the_request_as_it_is() -> None:
    """Found by the search.

    1. The lease of an update runs out, a second worker fetches. 2. The update's answer is
    ambiguous, so the first worker fetches as well. 3. Either answer raised the request again,
    so the other one came too late, and so on without end.
    """
    outcome = take(WANTED, seen("Eve", 10, FETCH, seen_revision=3))
    assert (outcome.verdict, outcome.mapping) == (Verdict.AMBIGUOUS, None)


# Rule 4: a replayed answer shows an old state


def test_rule_4_a_replayed_answer_is_looked_up() -> None:
    known = replace(SYNCED, intents=(intent("Bob"),))
    news = seen("Bob", 12, ANSWER, seen_revision=5, intent_id="k1", replayed=True)
    outcome = take(known, news)
    assert (outcome.verdict, outcome.record_changes) == (Verdict.REPLAYED, {})
    assert outcome.mapping is not None
    assert (outcome.mapping.base, outcome.mapping.fetch_revision) == ({"/name": "Ada"}, 6)
    assert (outcome.settled, outcome.unconfirmed) == ((), ("k1",))


def test_rule_4_a_replayed_create_links_as_old_as_can_be() -> None:
    create = intent("Ada", UNKNOWN, kind=IntentKind.CREATE, revision=0)
    news = seen("Eve", 12, ANSWER, seen_revision=0, intent_id="k1", record_id="r1", replayed=True)
    outcome = take(Situation(record(), intents=(create,)), news)
    assert outcome.mapping is not None
    assert (outcome.mapping.asof.low, outcome.mapping.fetch_revision) == (0, 1)
    assert outcome.mapping.base == {"/name": "Ada"}
    assert outcome.settled == ("k1",)


# Rule 5: own writes are not external edits


@pytest.mark.parametrize("policy", [INTERNAL_WINS, EXTERNAL_WINS])
@pytest.mark.parametrize("state", [SENT, UNKNOWN])
def test_rule_5_what_we_wrote_never_overwrites_a_later_edit(policy, state) -> None:
    known = Situation(record("Cyd"), mapping(), (intent("Bob", state),))
    outcome = take(known, seen("Bob", at=11), policy)
    assert outcome.record_changes == {}
    assert outcome.mapping is not None
    assert outcome.mapping.base == {"/name": "Bob"}
    assert step(replace(known, mapping=outcome.mapping, intents=())) is StepKind.UPDATE


def test_rule_5_another_value_in_the_same_field_is_an_edit() -> None:
    outcome = take(replace(SYNCED, intents=(intent("Bob"),)), seen("Eve", at=11))
    assert outcome.record_changes == {"/name": "Eve"}


def test_rule_5_what_is_settled_is_our_own_no_longer() -> None:
    known = Situation(record("Cyd"), mapping("Cyd"), (intent("Bob", ANSWERED),))
    assert take(known, seen("Bob", at=11)).record_changes == {"/name": "Bob"}


def test_rule_5_a_webhook_of_an_answered_push_is_an_echo() -> None:
    known = replace(SYNCED, intents=(intent("Bob", ANSWERED),))
    outcome = take(known, seen("Bob", at=11, origin_key="k1"))
    assert (outcome.verdict, outcome.mapping) == (Verdict.ECHO, None)


def test_rule_5_a_webhook_of_an_answered_push_with_other_values_is_none() -> None:
    known = replace(SYNCED, intents=(intent("Bob", ANSWERED),))
    assert take(known, seen("Eve", at=11, origin_key="k1")).verdict is Verdict.MERGED


@pytest.mark.parametrize(("at", "settled"), [(9, ("k1",)), (10, ()), (11, ("k1",))])
def test_rule_5_a_webhook_settles_an_unanswered_push_once_the_base_has_it(at, settled) -> None:
    """Found by the search, as a lost edit.

    1. An update to 4 gets no answer; a fetch shows nothing of it. 2. An update to 3 is answered.
    3. The first one arrives late. 4. Its webhook, of the same second, settled it, 5. so that the
    fetch took 4 for an external edit, and the record lost its 3.
    """
    known = replace(SYNCED, intents=(intent("Bob", UNKNOWN),))
    assert take(known, seen("Bob", at, origin_key="k1")).settled == settled


def test_rule_5_an_ambiguous_answer_leaves_its_push_open() -> None:
    """Found by the search, as a lost edit where external edits win.

    1. The webhook of an update comes before its answer, in the second of the base. 2. The answer
    is ambiguous, and settled the update. 3. The record is edited again. 4. The fetch shows the
    update's value, which was taken for an external edit and won.
    """
    known = Situation(record("Cyd"), mapping(revision=6), (intent("Bob"),))
    outcome = take(known, seen("Bob", 10, ANSWER, seen_revision=5, intent_id="k1"), EXTERNAL_WINS)
    assert (outcome.verdict, outcome.settled) == (Verdict.AMBIGUOUS, ())
    assert outcome.unconfirmed == ("k1",)
