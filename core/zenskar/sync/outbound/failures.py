"""What to do about a failed call: the classes of failure are classes of recovery."""

from dataclasses import dataclass
from enum import Enum

from zenskar.errors import Failure, FailureKind
from zenskar.kernel import StepKind
from zenskar.model.record import IntentState
from zenskar.sync.calls import Call


class Next(Enum):
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
class Recovery:
    """What becomes of the event, and of the push if there was one."""

    next: Next
    push: IntentState | None = None


def recover(  # noqa: PLR0911 - one class, one line
    call: Call | None, failure: Failure, *, mine: bool = True
) -> Recovery:
    """Decide about a failed call; None when no call was made, because its body failed.

    Unless the push was `mine` all the while, another worker may have sent it again.
    """
    if call is None or not call.pushes:
        return Recovery(_without_effect(failure.kind))
    # What is refused was not done, so it is made anew. Only a create that was sent more than once
    # with its key may have succeeded another time, so it is sent again with that key.
    again = call.step is StepKind.RESEND or (call.step is StepKind.CREATE and not mine)
    refused = IntentState.UNKNOWN if again else IntentState.FAILED
    match failure.kind:
        case FailureKind.UNKNOWN_OUTCOME | FailureKind.TRANSIENT:
            return Recovery(Next.RETRY, IntentState.UNKNOWN)
        case FailureKind.RATE_LIMITED:
            return Recovery(Next.WAIT, refused)
        case FailureKind.CREDENTIALS:
            return Recovery(Next.PAUSE, refused)
        case FailureKind.GONE | FailureKind.NOT_VISIBLE if call.external_id is not None:
            return Recovery(Next.LOOK, IntentState.FAILED)
        case FailureKind.BUG:
            # It may have failed on the answer, after the effect.
            return Recovery(Next.GIVE_UP, IntentState.UNKNOWN)
        case _:
            return Recovery(Next.GIVE_UP, IntentState.FAILED)


def _without_effect(kind: FailureKind) -> Next:
    match kind:
        case FailureKind.UNKNOWN_OUTCOME | FailureKind.TRANSIENT:
            return Next.RETRY
        case FailureKind.RATE_LIMITED:
            return Next.WAIT
        case FailureKind.CREDENTIALS:
            return Next.PAUSE
        case _:
            return Next.GIVE_UP
