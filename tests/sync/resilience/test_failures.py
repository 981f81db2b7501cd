"""A failure means the same in both directions."""

import random

import pytest

from zenskar import Failure, FailureKind
from zenskar.kernel import StepKind
from zenskar.model.record import IntentState
from zenskar.sync.resilience.failures import (
    FailureAction,
    NextAction,
    action_after_push,
    action_of,
    bug,
    failure_of,
    retry_delay,
)
from zenskar.sync.resilience.retry import RetryPolicy

POLICY = RetryPolicy(3, 1.0, 8.0)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FailureKind.TRANSIENT, NextAction.RETRY),
        (FailureKind.UNKNOWN_OUTCOME, NextAction.RETRY),
        (FailureKind.RATE_LIMITED, NextAction.WAIT),
        (FailureKind.CREDENTIALS, NextAction.PAUSE),
        (FailureKind.REJECTED, NextAction.DEAD_LETTER),
        (FailureKind.GONE, NextAction.DEAD_LETTER),
        (FailureKind.NOT_VISIBLE, NextAction.DEAD_LETTER),
        (FailureKind.STALE_VERSION, NextAction.DEAD_LETTER),
        (FailureKind.BUG, NextAction.DEAD_LETTER),
    ],
)
def test_a_failure_without_an_effect_has_one_next_action(
    kind: FailureKind, expected: NextAction
) -> None:
    assert action_of(kind) == FailureAction(expected)
    for step in (StepKind.CREATE, StepKind.UPDATE, StepKind.RESEND):
        pushed = action_after_push(kind, step, has_object=False, held=True)
        assert pushed.next is expected
        assert pushed.push in {IntentState.UNKNOWN, IntentState.FAILED}


@pytest.mark.parametrize(
    "kind", [FailureKind.GONE, FailureKind.NOT_VISIBLE, FailureKind.STALE_VERSION]
)
def test_an_object_that_seems_to_be_gone_is_looked_at(kind: FailureKind) -> None:
    action = action_after_push(kind, StepKind.UPDATE, has_object=True, held=True)
    assert action == FailureAction(NextAction.LOOK, IntentState.FAILED)


def test_an_object_that_exists_is_linked_to_a_record_without_one() -> None:
    action = action_after_push(FailureKind.EXISTS, StepKind.CREATE, has_object=False, held=True)
    assert action == FailureAction(NextAction.LINK, IntentState.FAILED)
    update = action_after_push(FailureKind.EXISTS, StepKind.UPDATE, has_object=True, held=True)
    assert update.next is action_of(FailureKind.EXISTS).next is NextAction.DEAD_LETTER


@pytest.mark.parametrize(
    ("step", "held", "state"),
    [
        (StepKind.CREATE, True, IntentState.FAILED),
        (StepKind.CREATE, False, IntentState.UNKNOWN),
        (StepKind.RESEND, True, IntentState.UNKNOWN),
        (StepKind.UPDATE, False, IntentState.FAILED),
    ],
)
def test_a_refused_create_keeps_its_key_if_it_may_have_been_sent_twice(
    step: StepKind, held: bool, state: IntentState
) -> None:
    action = action_after_push(FailureKind.RATE_LIMITED, step, has_object=False, held=held)
    assert action == FailureAction(NextAction.WAIT, state)


def test_a_retry_waits_at_least_as_long_as_the_external_system_asks() -> None:
    rng = random.Random(0)
    asked = Failure(FailureKind.TRANSIENT, "busy", retry_after=60.0)
    assert retry_delay(asked, 1, POLICY, rng) == 60.0
    assert retry_delay(asked, 3, POLICY, rng) is None
    assert retry_delay(Failure(FailureKind.REJECTED, "no"), 1, POLICY, rng) is None


def test_an_error_of_a_transaction_is_named_by_its_type_only() -> None:
    failure = failure_of(KeyError("canary@example.com"))
    assert failure == bug(KeyError()) == Failure(FailureKind.BUG, "KeyError while it was applied")
