"""Rule 8: an object that was restored brings its record back, and no old observation does."""

from dataclasses import replace
from typing import Any

import pytest

from tests.kernel.cases import (
    ANSWER,
    FETCH,
    INTERNAL_WINS,
    LIST,
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
from zenskar.model.observation import Observation
from zenskar.model.record import MappingState

POLICY = replace(INTERNAL_WINS, restores=True)
DELETED = MappingState.DELETED
BURIED = mapping(state=DELETED, ended_record=True, asof=second(20))
ENDED = Situation(record(deleted=True), BURIED)


def restore(situation: Situation, news: Observation) -> Outcome:
    return take(situation, news, POLICY)


def look(name: str | None = "Ada", at: int = 20, revision: int = 5, **more: Any) -> Observation:
    return seen(name, at, FETCH, seen_revision=revision, **more)


def test_rule_8_a_look_after_the_delete_brings_the_record_back() -> None:
    outcome = restore(ENDED, look("Eve"))
    assert (outcome.verdict, outcome.restore_record) == (Verdict.RESTORED, True)
    assert outcome.record_changes == {"/name": "Eve"}
    alive = outcome.mapping
    assert alive is not None
    assert (alive.active, alive.ended_record, alive.base) == (True, False, {"/name": "Eve"})
    assert step(Situation(record("Eve"), alive)) is StepKind.NOTHING


def test_rule_8_a_record_returns_with_its_own_edits() -> None:
    outcome = restore(replace(ENDED, record=record("Bob", deleted=True)), look())
    assert (outcome.restore_record, outcome.record_changes) == (True, {})
    assert step(Situation(record("Bob"), outcome.mapping)) is StepKind.UPDATE


@pytest.mark.parametrize("kind", [WEBHOOK, LIST, FETCH])
@pytest.mark.parametrize("at", [20, 30])
def test_rule_8_any_other_sight_of_a_deleted_object_is_looked_at(kind, at: int) -> None:
    outcome = restore(ENDED, seen("Eve", at, kind))
    assert (outcome.verdict, outcome.look) == (Verdict.AMBIGUOUS, "x1")
    assert (outcome.mapping, outcome.changes_record) == (None, False)
    assert outcome.seen_changes == {"/name": "Eve"}


def test_rule_8_a_push_that_reached_a_restored_object_is_unconfirmed_until_the_look() -> None:
    situation = replace(ENDED, intents=(intent("Eve"),))
    outcome = restore(situation, seen("Eve", 30, ANSWER, intent_id="k1", seen_revision=4))
    assert (outcome.verdict, outcome.look) == (Verdict.AMBIGUOUS, "x1")
    assert (outcome.settled, outcome.unconfirmed) == ((), ("k1",))


@pytest.mark.parametrize(
    "ended",
    [
        replace(ENDED, mapping=replace(BURIED, ended_record=False)),
        replace(ENDED, mapping=replace(BURIED, detached=True)),
        replace(ENDED, mapping=replace(BURIED, merged_into="x2")),
        replace(ENDED, record=record(deleted=True, erased=True)),
        replace(ENDED, rival=replace(mapping(), external_id="x2")),
    ],
    ids=["deleted_here", "released", "merged", "erased", "another_object"],
)
@pytest.mark.parametrize("news", [look("Eve"), seen("Eve", 30)])
def test_rule_8_nothing_else_brings_a_record_back(ended: Situation, news: Observation) -> None:
    outcome = restore(ended, news)
    assert (outcome.verdict, outcome.look) == (Verdict.TOMBSTONE, None)
    assert not outcome.changes_record


def test_rule_8_deletes_are_final_without_a_declaration() -> None:
    assert take(ENDED, look("Eve")).verdict is Verdict.TOMBSTONE


def test_rule_8_an_old_event_of_a_deleted_object_restores_nothing() -> None:
    assert restore(ENDED, seen("Eve", 19)).verdict is Verdict.TOMBSTONE


def test_rule_8_a_further_delete_outdates_a_look() -> None:
    again = restore(ENDED, seen(None, 25)).mapping
    assert again is not None
    assert (again.revision, again.asof) == (6, second(25))
    outcome = restore(replace(ENDED, mapping=again), look("Ada", 25))
    assert (outcome.verdict, outcome.look) == (Verdict.AMBIGUOUS, "x1")


def test_rule_8_a_delete_that_may_be_older_than_a_restore_is_looked_at() -> None:
    alive = Situation(record(), mapping())
    assert restore(alive, seen(None, 9)).verdict is Verdict.STALE
    unclear = restore(alive, seen(None, 10))
    assert (unclear.verdict, unclear.delete_record) == (Verdict.AMBIGUOUS, False)
    assert step(Situation(record(), unclear.mapping)) is StepKind.FETCH
    for proof in (seen(None, 11), look(None, 10)):
        outcome = restore(alive, proof)
        assert (outcome.verdict, outcome.delete_record) == (Verdict.DELETED, True)
        assert outcome.mapping is not None
        assert outcome.mapping.ended_record


def test_rule_8_a_restored_object_whose_delete_came_first_becomes_a_record() -> None:
    early = restore(Situation(), seen(None)).mapping
    assert early is not None
    assert restore(Situation(mapping=early), seen("Eve")).look == "x1"
    outcome = restore(Situation(mapping=early), look("Eve", revision=1))
    assert (outcome.verdict, outcome.create_record) == (Verdict.CREATED, True)
    assert outcome.mapping is not None
    assert outcome.mapping.revision == 2


@pytest.mark.parametrize("detached", [True, False])
def test_rule_8_an_undeleted_record_looks_at_its_former_object(detached: bool) -> None:
    """Deletes are final here, and another connection brought the record back."""
    former = mapping(state=DELETED, detached=detached, fetch_revision=5)
    wanted = Situation(record(), former)
    assert step(wanted) is StepKind.FETCH
    assert step(replace(wanted, record=record(deleted=True))) is StepKind.NOTHING
    alive = take(wanted, look("Eve"))
    assert (alive.verdict, alive.restore_record) == (Verdict.RESTORED, False)
    assert step(Situation(record("Eve"), alive.mapping)) is StepKind.NOTHING
    gone = take(wanted, look(None))
    assert (gone.verdict, gone.delete_record) == (Verdict.TOMBSTONE, False)
    assert step(Situation(record(), gone.mapping)) is StepKind.CREATE
    # A look in progress may miss a later state.
    news = take(wanted, seen("Eve", 30))
    assert news.mapping is not None
    assert (news.mapping.active, news.mapping.fetch_revision) == (False, 6)
    assert take(replace(wanted, mapping=news.mapping), look()).verdict is Verdict.TOMBSTONE
