"""Rule 8: an object that was merged into another one was not deleted."""

from dataclasses import replace
from typing import Any

import pytest

from tests.kernel.cases import (
    ANSWER,
    FETCH,
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
from zenskar.model.observation import Observation
from zenskar.model.record import ExternalMapping, MappingState

SYNCED = Situation(record(), mapping())
DELETED = MappingState.DELETED


def successor(owner: str | None = "r2", **more: Any) -> ExternalMapping:
    """Return the mapping of the successor, by default the object of another record."""
    return replace(mapping(entity_id=owner, **more), external_id="x2")


def merge(at: int = 12, **more: Any) -> Observation:
    return seen(None, at, merged_into="x2", **more)


def test_rule_8_a_record_follows_its_object_into_a_free_successor() -> None:
    outcome = take(SYNCED, merge())
    assert (outcome.verdict, outcome.changes_record) == (Verdict.MERGED_INTO, False)
    ended, moved = outcome.mapping, outcome.successor
    assert ended is not None
    assert moved is not None
    assert (ended.active, ended.detached, ended.merged_into) == (False, False, "x2")
    assert (moved.external_id, moved.entity_id, moved.active) == ("x2", "r1", True)
    assert (moved.base, moved.asof) == ({"/name": "Ada"}, second(12))
    assert step(Situation(record(), moved)) is StepKind.FETCH
    # A call that was sent to the merged object shows nothing of the successor.
    assert moved.revision > mapping().revision


def test_rule_8_a_push_under_way_may_reach_the_successor() -> None:
    lost = replace(SYNCED, record=record("Bob"), intents=(intent("Bob", UNKNOWN),))
    assert take(lost, merge()).ended == ()
    answered = take(lost, merge(kind=ANSWER, seen_revision=5, intent_id="k1"))
    assert (answered.settled, answered.unconfirmed) == ((), ("k1",))
    taken = take(replace(lost, successor=successor()), merge())
    assert taken.ended == ("k1",)


def test_rule_8_a_record_stays_when_another_record_has_the_successor() -> None:
    outcome = take(replace(SYNCED, successor=successor()), merge())
    assert (outcome.verdict, outcome.delete_record) == (Verdict.MERGED_INTO, False)
    assert (outcome.successor, outcome.look) == (None, "x2")
    assert outcome.mapping is not None
    for alive in (True, False):
        after = Situation(record(deleted=not alive), outcome.mapping)
        assert step(after, propagate_deletes=True) is StepKind.NOTHING


@pytest.mark.parametrize("known", [None, successor()])
def test_rule_8_the_delete_of_a_record_never_reaches_a_successor(known) -> None:
    outcome = take(Situation(record(deleted=True), mapping(), successor=known), merge())
    assert (outcome.successor, outcome.look) == (None, "x2")
    assert outcome.mapping is not None
    assert step(Situation(record(deleted=True), outcome.mapping)) is StepKind.NOTHING


def test_rule_8_a_successor_that_was_deleted_first_takes_the_record_along() -> None:
    gone = successor(None, state=DELETED)
    outcome = take(replace(SYNCED, successor=gone), merge())
    assert (outcome.verdict, outcome.delete_record) == (Verdict.DELETED, True)
    assert outcome.successor is not None
    assert (outcome.successor.entity_id, outcome.successor.active) == ("r1", False)
    anothers = replace(SYNCED, successor=successor(state=DELETED))
    outcome = take(anothers, merge())
    assert (outcome.verdict, outcome.look) == (Verdict.MERGED_INTO, None)


@pytest.mark.parametrize(
    "news", [merge(), seen("Eve", 20), seen("Eve", 20, FETCH, seen_revision=6)]
)
def test_rule_8_a_merged_object_never_returns(news: Observation) -> None:
    ended = take(SYNCED, merge()).mapping
    again = take(Situation(record(), ended, rival=successor("r1")), news)
    assert (again.verdict, again.mapping, again.changes_record) == (Verdict.TOMBSTONE, None, False)


def test_rule_8_an_unknown_object_that_was_merged_leaves_a_tombstone() -> None:
    outcome = take(Situation(), merge())
    assert (outcome.verdict, outcome.look) == (Verdict.MERGED_INTO, None)
    assert outcome.mapping is not None
    assert (outcome.mapping.entity_id, outcome.mapping.merged_into) == (None, "x2")
    # A late event that names a record deletes it no more than the merge did.
    late = take(Situation(record(), outcome.mapping), seen("Ada", record_id="r1"))
    assert (late.verdict, late.delete_record) == (Verdict.TOMBSTONE, False)


def test_rule_8_an_unknown_object_that_names_a_record_brings_its_successor() -> None:
    outcome = take(Situation(record()), merge(record_id="r1"))
    assert outcome.successor is not None
    assert (outcome.successor.entity_id, outcome.successor.base) == ("r1", {})
    duplicate = Situation(record(), rival=replace(mapping(), external_id="x3"))
    assert take(duplicate, merge(record_id="r1")).successor is None
