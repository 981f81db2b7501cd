"""The next step of a record."""

import pytest

from tests.kernel.cases import UNKNOWN, intent, mapping, record
from zenskar.kernel import Situation, StepKind, plan
from zenskar.model.record import MappingState


@pytest.mark.parametrize(
    ("situation", "kind"),
    [
        (Situation(), StepKind.NOTHING),
        (Situation(record()), StepKind.CREATE),
        (Situation(record(deleted=True)), StepKind.NOTHING),
        (Situation(record(), mapping()), StepKind.NOTHING),
        (Situation(record("Bob"), mapping()), StepKind.UPDATE),
        (Situation(record("Bob"), mapping(fetch_revision=5)), StepKind.FETCH),
        (Situation(record("Bob"), mapping(state=MappingState.DELETED)), StepKind.NOTHING),
        (Situation(record(deleted=True), mapping()), StepKind.DELETE),
        (Situation(record(deleted=True), mapping(fetch_revision=5)), StepKind.FETCH),
        (Situation(record(), mapping(), (intent("Ada"),)), StepKind.WAIT),
        (Situation(record(), mapping(revision=6), (intent("Ada", UNKNOWN),)), StepKind.NOTHING),
    ],
)
def test_the_next_step(situation: Situation, kind: StepKind) -> None:
    assert plan(situation, propagate_deletes=True).kind is kind


def test_a_create_writes_everything_and_an_update_the_difference() -> None:
    created = plan(Situation(record("Bob")), propagate_deletes=True)
    assert created.changes == {"/name": "Bob"}
    unset = plan(Situation(record(None), mapping()), propagate_deletes=True)
    assert unset.changes == {"/name": None}
