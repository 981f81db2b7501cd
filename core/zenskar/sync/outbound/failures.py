"""What to do about a failed call: the classes of failure are classes of recovery."""

from dataclasses import dataclass
from enum import Enum

from zenskar.errors import Failure, FailureKind
from zenskar.kernel import StepKind
from zenskar.model.record import IntentState
from zenskar.sync.calls import Call


class NextAction(Enum):
    """What becomes of the sync event."""

    RETRY = "retry"
    """Back off; counts as an attempt."""
    WAIT = "wait"
    """Come back later; the call was not made, so no attempt is used up."""
    PAUSE = "pause"
    """Pause the connection and come back when it is resumed."""
    OUTAGE = "outage"
    """Pause the connection until the external system answers again; no attempt is used up."""
    LOOK = "look"
    """Look at the external object, then plan again, at once."""
    GIVE_UP = "give_up"
    """It can never succeed as it is."""


@dataclass(frozen=True, slots=True)
class FailureAction:
    """What becomes of the event, and of the push if there was one."""

    next: NextAction
    push: IntentState | None = None


def recover(  # noqa: PLR0911 - one class, one line
    call: Call | None, failure: Failure, *, mine: bool = True
) -> FailureAction:
    """Decide about a failed call; None when no call was made, because its body failed.

    Unless the push was `mine` all the while, another worker may have sent it again.
    """
    if call is None or not call.pushes:
        return FailureAction(_without_effect(failure.kind))
    # What is refused was not done, so it is made anew. Only a create that was sent more than once
    # with its key may have succeeded another time, so it is sent again with that key.
    again = call.step is StepKind.RESEND or (call.step is StepKind.CREATE and not mine)
    refused = IntentState.UNKNOWN if again else IntentState.FAILED
    match failure.kind:
        case FailureKind.UNKNOWN_OUTCOME | FailureKind.TRANSIENT:
            return FailureAction(NextAction.RETRY, IntentState.UNKNOWN)
        case FailureKind.RATE_LIMITED:
            return FailureAction(NextAction.WAIT, refused)
        case FailureKind.CREDENTIALS:
            return FailureAction(NextAction.PAUSE, refused)
        case FailureKind.GONE | FailureKind.NOT_VISIBLE if call.external_id is not None:
            return FailureAction(NextAction.LOOK, IntentState.FAILED)
        case FailureKind.BUG:
            # It may have failed on the answer, after the effect.
            return FailureAction(NextAction.GIVE_UP, IntentState.UNKNOWN)
        case _:
            return FailureAction(NextAction.GIVE_UP, IntentState.FAILED)


def _without_effect(kind: FailureKind) -> NextAction:
    match kind:
        case FailureKind.UNKNOWN_OUTCOME | FailureKind.TRANSIENT:
            return NextAction.RETRY
        case FailureKind.RATE_LIMITED:
            return NextAction.WAIT
        case FailureKind.CREDENTIALS:
            return NextAction.PAUSE
        case _:
            return NextAction.GIVE_UP
