"""What can go wrong, grouped by what the caller does next.

ZenskarError
├── ConfigurationError      mend the settings or the installation, then start again
│   └── PluginError         one plugin cannot be used; the others go on
├── InvalidInput            the sender must change what was sent
│   ├── BadSignature        … or prove who it is
│   ├── SchemaViolation     … names every field that is wrong
│   └── TooLarge            … or send less
├── NotFound                nothing of that name or id
├── Conflict                the state moved on; read again, then decide
├── Unavailable             try again later; nothing was done
├── Degraded                nothing: it works, but something waits
└── CallFailed              a call to an external system failed; `failure.kind` says what next
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class ZenskarError(Exception):
    """Base of every error that zenskar raises on purpose. Its text is safe to show and log."""


class ConfigurationError(ZenskarError):
    """Settings or installation are wrong; the text says how to mend it."""


class PluginError(ConfigurationError):
    """One plugin cannot be loaded or used."""


class InvalidInput(ZenskarError):
    """What was sent cannot be accepted, however often it is sent again."""


class BadSignature(InvalidInput):
    """A webhook that does not prove that its sender is who it says."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One violated rule: where (JSON pointer) and what, without the offending value."""

    pointer: str
    message: str


class SchemaViolation(InvalidInput):
    """A document that violates its JSON Schema; `violations` names every place."""

    def __init__(self, subject: str, violations: Sequence[Violation]) -> None:
        self.subject = subject
        self.violations = tuple(violations)
        places = "; ".join(f"{v.pointer or '/'}: {v.message}" for v in self.violations[:5])
        super().__init__(f"{subject} is not valid: {places}")


class TooLarge(InvalidInput):
    """A message that is larger than the bus takes."""


class NotFound(ZenskarError):
    """There is nothing of that name or id."""


class StateConflict(ZenskarError):
    """The state is not what the caller believed."""


class Unavailable(ZenskarError):
    """A part that is needed is away; nothing was done, try again later."""


class Degraded(ZenskarError):
    """A part works, but what it should pass on waits."""


class FailureKind(StrEnum):
    """Classes of failure, by what must be done next.

    `GONE` proves that an object was deleted. `NOT_VISIBLE` says only that our credentials do not
    show it: it may be another account's, or another mode's.
    """

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    UNKNOWN_OUTCOME = "unknown_outcome"
    REJECTED = "rejected"
    GONE = "gone"
    NOT_VISIBLE = "not_visible"
    CREDENTIALS = "credentials"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call. `message` is for people: no secret, no personal data.

    `retry_after` is in seconds. `replayed`: the external system repeated what it had answered to
    this idempotency key before, and will do so for ever.
    """

    kind: FailureKind
    message: str
    code: str | None = None
    retry_after: float | None = None
    replayed: bool = False


class CallFailed(ZenskarError):
    """A call to an external system failed."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.message)
