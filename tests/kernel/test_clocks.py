"""Rule 1 after a change of the external clock, and for late observations."""

import pytest

from tests.kernel.cases import FETCH, mapping, record, second, seen, step, take
from zenskar.kernel import Situation, StepKind, Verdict
from zenskar.kernel.intervals import LATE, is_late
from zenskar.model.interval import Interval

KNOWN = Situation(record(), mapping())


@pytest.mark.parametrize(
    ("at", "sent", "verdict"),
    [
        (9, 9, "ambiguous"),
        (9, 10, "stale"),
        (9, 500, "stale"),
        (11, 11, "merged"),
        (11, 10, "ambiguous"),
        (11, 131, "merged"),
        (11, 133, "ambiguous"),
    ],
)
def test_rule_1_a_date_is_trusted_as_far_as_the_time_of_sending_bears_it_out(
    at: int, sent: int, verdict: str
) -> None:
    outcome = take(KNOWN, seen("Eve", at, sent=second(sent)))
    assert outcome.verdict.value == verdict
    looks = step(Situation(record(), outcome.mapping)) is StepKind.FETCH
    assert looks == (verdict == "ambiguous")


@pytest.mark.parametrize(("at", "sent"), [(9, 9), (11, 10), (11, 500)])
def test_rule_1_news_that_shows_nothing_new_needs_no_look(at: int, sent: int) -> None:
    outcome = take(KNOWN, seen("Ada", at, sent=second(sent)))
    assert outcome.verdict.value == "confirmed"


@pytest.mark.parametrize(("at", "sent"), [(9, 9), (11, 10), (11, 500)])
def test_rule_1_a_delete_needs_no_date(at: int, sent: int) -> None:
    assert take(KNOWN, seen(None, at, sent=second(sent))).verdict.value == "deleted"


def test_rule_1_news_is_late_two_minutes_after_it_happened() -> None:
    happened = second(10)
    just, late = (Interval(happened.high + LATE + more, 10**12) for more in (0, 1))
    assert not is_late(seen("Eve", 10, sent=just))
    assert is_late(seen("Eve", 10, sent=late))


@pytest.mark.parametrize("claims", [None, "r1"])
def test_rule_7_late_news_of_an_unknown_object_makes_nothing(claims: str | None) -> None:
    known = Situation(record() if claims else None)
    late = seen("Eve", 10, sent=second(500), record_id=claims)
    outcome = take(known, late)
    assert (outcome.verdict, outcome.mapping, outcome.changes_record) == (Verdict.LATE, None, False)
    in_time = take(known, seen("Eve", 10, sent=second(60), record_id=claims))
    assert in_time.mapping is not None


def test_rule_7_a_late_delete_of_an_unknown_object_leaves_a_tombstone() -> None:
    outcome = take(Situation(), seen(None, 10, sent=second(500)))
    assert outcome.verdict is Verdict.DELETED
    assert outcome.mapping is not None
    assert not outcome.mapping.active


def test_rule_1_a_base_that_is_renewed_after_the_clock_was_set_back_has_both_dates() -> None:
    look = seen("Eve", 2, FETCH, seen_revision=5, sent=second(2))
    renewed = take(KNOWN, look).mapping
    assert renewed is not None
    assert renewed.asof == Interval(second(2).low, second(10).high)
    again = Situation(record("Eve"), renewed)
    for at, verdict in ((1, "stale"), (3, "ambiguous"), (9, "ambiguous"), (11, "merged")):
        assert take(again, seen("Ida", at, sent=second(50))).verdict.value == verdict
