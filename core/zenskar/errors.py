"""The errors of zenskar, grouped by the caller's next action.

ZenskarError
├── ConfigurationError      fix the settings or the installation, then start again
│   └── PluginError         one plugin cannot be used; the others work
├── InvalidInput            the sender must change the input
│   ├── BadSignature        … or prove its identity
│   ├── SchemaViolation     … in every field that the error names
│   └── TooLarge            … to a smaller one
├── NotFound                nothing has this name or id
├── StateConflict           the state has changed; read it again, then decide
├── Unavailable             retry later; nothing was done
├── Degraded                no action: the part works, but messages wait
└── CallFailed              a call to an external system failed; `failure.kind` names the action
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_LONGEST_TEXT = 2_000
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""The characters that PostgreSQL does not store: NUL, and halves of surrogate pairs."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class ZenskarError(Exception):
    """Base of every error that zenskar raises on purpose. Its text is safe to show and log."""


class ConfigurationError(ZenskarError):
    """The settings or the installation are wrong; the text says how to fix them."""


class PluginError(ConfigurationError):
    """A plugin cannot be loaded or used."""


class InvalidInput(ZenskarError):
    """The input cannot be accepted, however often it is sent."""


class BadSignature(InvalidInput):
    """A webhook does not prove that the external system sent it."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated rule: its place as a JSON pointer and its text, without the offending value."""

    pointer: str
    message: str


class SchemaViolation(InvalidInput):
    """A document violates its JSON Schema; `violations` holds every place."""

    def __init__(self, subject: str, violations: Sequence[Violation]) -> None:
        self.subject = subject
        self.violations = tuple(violations)
        places = "; ".join(f"{v.pointer or '/'}: {v.message}" for v in self.violations[:5])
        super().__init__(f"{subject} is not valid: {places}")


class TooLarge(InvalidInput):
    """A message is larger than the bus accepts."""


class NotFound(ZenskarError):
    """Nothing has this name or id."""


class StateConflict(ZenskarError):
    """The state differs from the state that the caller expects."""


class Unavailable(ZenskarError):
    """A required part is unavailable; nothing was done, retry later."""


class Degraded(ZenskarError):
    """A part works, but the messages that it should pass on wait."""


class FailureKind(StrEnum):
    """The class of a failure, which decides the core's next action.

    `GONE` proves that an object was deleted. `NOT_VISIBLE` says only that our credentials do not
    show the object: another account or another mode may own it. `STALE_VERSION` says that a push
    was refused because its object has another version than `Push.if_version`. `EXISTS` says that a
    create was refused because the external system has that object; `Failure.external_id` names it.
    """

    TRANSIENT = "transient"
    RATE_LIMITED = "rate_limited"
    UNKNOWN_OUTCOME = "unknown_outcome"
    REJECTED = "rejected"
    GONE = "gone"
    NOT_VISIBLE = "not_visible"
    STALE_VERSION = "stale_version"
    EXISTS = "exists"
    CREDENTIALS = "credentials"
    BUG = "bug"


def _storable(text: str) -> str:
    return UNSTORABLE.sub(REPLACEMENT, str(text)[:_LONGEST_TEXT])


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call. `message` is for people: no secret, no personal data; 2,000 characters stay.

    `retry_after` is in seconds. `replayed`: the external system repeated its earlier answer to
    this idempotency key, and will repeat it on every retry. `external_id` is that of the object
    which exists (`EXISTS`). `limit` is the name of the only call limit that was exceeded
    (`RATE_LIMITED`), None for a limit of all calls. `stalled`: this process stood still during the
    call, so the failure says nothing about the external system; the runtime sets it.
    """

    kind: FailureKind
    message: str
    code: str | None = None
    retry_after: float | None = None
    replayed: bool = False
    external_id: str | None = None
    limit: str | None = None
    stalled: bool = False

    def __post_init__(self) -> None:
        """Make texts of an external system storable: the database refuses some characters."""
        object.__setattr__(self, "message", _storable(self.message))
        if self.code is not None:
            object.__setattr__(self, "code", _storable(self.code))


class CallFailed(ZenskarError):
    """A call to an external system failed."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.message)
