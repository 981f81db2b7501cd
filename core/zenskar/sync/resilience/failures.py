"""Decide what a failure means, for both directions: the next action, and when to retry."""

import random
from dataclasses import dataclass
from enum import Enum

from zenskar.db.driver.engine import is_transient
from zenskar.errors import Failure, FailureKind
from zenskar.kernel import StepKind
from zenskar.model.record import IntentState
from zenskar.sync.resilience.retry import RetryPolicy


class NextAction(Enum):
    """The next action for a sync event whose processing failed."""

    RETRY = "retry"
    """Back off; counts as an attempt."""
    WAIT = "wait"
    """Deliver the message again later; no call was made, so no attempt is used up."""
    PAUSE = "pause"
    """Pause the connection, and continue when it is resumed."""
    OUTAGE = "outage"
    """Pause the connection until the external system answers again; no attempt is used up."""
    LOOK = "look"
    """Fetch the external object, then plan again at once."""
    LINK = "link"
    """Fetch the external object that exists, and link it if it is free."""
    DEAD_LETTER = "dead_letter"
    """Stop: the event can never succeed as it is."""


@dataclass(frozen=True, slots=True)
class FailureAction:
    """The next action for an event, and the state of its push if there was one."""

    next: NextAction
    push: IntentState | None = None


FAILURES_OF_ALL = frozenset(
    {
        FailureKind.UNKNOWN_OUTCOME,
        FailureKind.TRANSIENT,
        FailureKind.RATE_LIMITED,
        FailureKind.CREDENTIALS,
    }
)
"""Failures of a call for several objects as a whole. Any other may be due to one object."""

_REFUSED = {
    True: {FailureKind.GONE, FailureKind.NOT_VISIBLE, FailureKind.STALE_VERSION},
    False: {FailureKind.EXISTS},
}
"""The refusals that are about the present object, by whether that was known."""


def action_of(kind: FailureKind) -> FailureAction:
    """Return the action after a failure that cannot have had an effect."""
    match kind:
        case FailureKind.UNKNOWN_OUTCOME | FailureKind.TRANSIENT:
            return FailureAction(NextAction.RETRY)
        case FailureKind.RATE_LIMITED:
            return FailureAction(NextAction.WAIT)
        case FailureKind.CREDENTIALS:
            return FailureAction(NextAction.PAUSE)
        case _:
            return FailureAction(NextAction.DEAD_LETTER)


def action_after_push(
    kind: FailureKind, step: StepKind, *, has_object: bool, held: bool
) -> FailureAction:
    """Return the action after a failed push.

    `has_object`: the push was about a known external object. Unless the push was `held` by this
    worker throughout, another worker may have sent it again.
    """
    # A refused push had no effect, so the next one is new. Only a create that was sent more than
    # once with its key may have succeeded another time, so it is sent again with that key.
    refused = IntentState.UNKNOWN if sent_before(step, held=held) else IntentState.FAILED
    match kind:
        case FailureKind.UNKNOWN_OUTCOME | FailureKind.TRANSIENT:
            return FailureAction(NextAction.RETRY, IntentState.UNKNOWN)
        case FailureKind.RATE_LIMITED:
            return FailureAction(NextAction.WAIT, refused)
        case FailureKind.CREDENTIALS:
            return FailureAction(NextAction.PAUSE, refused)
        case _ if kind in _REFUSED[has_object]:
            action = NextAction.LOOK if has_object else NextAction.LINK
            return FailureAction(action, IntentState.FAILED)
        case FailureKind.BUG:
            # The integration may have failed on the answer, after the effect.
            return FailureAction(NextAction.DEAD_LETTER, IntentState.UNKNOWN)
        case _:
            return FailureAction(NextAction.DEAD_LETTER, IntentState.FAILED)


def sent_before(step: StepKind, *, held: bool) -> bool:
    """Return whether a create may have been sent more than once with its key."""
    return step is StepKind.RESEND or (step is StepKind.CREATE and not held)


def retry_delay(
    failure: Failure, attempts: int, retry: RetryPolicy, rng: random.Random
) -> float | None:
    """Return the seconds before the next attempt after this many, None when there is none."""
    if action_of(failure.kind).next is not NextAction.RETRY or retry.used_up(attempts):
        return None
    return max(failure.retry_after or 0.0, retry.delay(attempts, rng))


def failure_of(error: Exception) -> Failure:
    """Return the failure of a transaction: transient if the database asks for another attempt.

    The text of an error may hold personal data; its type does not.
    """
    if is_transient(error):
        return Failure(FailureKind.TRANSIENT, type(error).__name__)
    return bug(error)


def bug(error: Exception) -> Failure:
    """Return the failure of a transaction that is not retried."""
    return Failure(FailureKind.BUG, f"{type(error).__name__} while it was applied")
