"""What the explanation of a record consists of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class HistoryStepKind(StrEnum):
    """What kind of step it is."""

    CHANGE = "change"
    """Somebody changed the record through the API."""
    QUEUED = "queued"
    """A connection is to follow a change that came from elsewhere, or to be made equal."""
    NEWS = "news"
    """The external system told us of its object, or we saw it in a list."""
    VERDICT = "verdict"
    """What the news turned out to be."""
    CALL = "call"
    ANSWER = "answer"
    SETBACK = "setback"
    RETRY = "retry"
    """An operator asked for another try."""
    DONE = "done"
    NOTE = "note"
    PAUSED = "paused"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """One field before and after; `known`: what it was before is certain."""

    path: str
    before: Any
    after: Any
    known: bool = True


@dataclass(frozen=True, slots=True)
class Queued:
    """The sync event that one connection got for a change, and where it stands now."""

    source_system: str
    event_id: str
    status: str


@dataclass(frozen=True, slots=True)
class ConflictSeen:
    """One field that both sides had changed, with who won."""

    path: str
    base: Any
    internal: Any
    external: Any
    winner: str
    policy: str


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One thing that happened. `cause` is the number of the step that led to it.

    `version` is the record's after a change. `changes` were made to the record, `writes` were to
    be made to the external object, `seen` is what was found different from the base, `shown` all
    that an external event showed, `occurred` when that was on the external clock. `push_state`
    is what has become of a push by now. `by` is who asked for a retry or a discard, from `place`.
    """

    kind: HistoryStepKind
    at: datetime
    number: int = 0
    cause: int | None = None
    since_previous_seconds: float | None = None
    source_system: str | None = None
    event_id: str | None = None
    event_type: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    external_id: str | None = None
    external_event_id: str | None = None
    occurred: tuple[datetime, datetime] | None = None
    status: str | None = None
    reason: str | None = None
    by: str | None = None
    place: str | None = None
    call: str | None = None
    idempotency_key: str | None = None
    push_state: str | None = None
    verdict: str | None = None
    revision: int | None = None
    fetch_wanted: bool = False
    error_kind: str | None = None
    error_message: str | None = None
    retry_in_seconds: float | None = None
    version: int | None = None
    deletes: bool = False
    changes: tuple[FieldDiff, ...] = ()
    writes: Mapping[str, Any] = field(default_factory=dict)
    seen: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=dict)
    conflicts: tuple[ConflictSeen, ...] = ()
    queued: tuple[Queued, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which step gave a field its present value, None when the history does not tell.

    `held_in` are the steps in which that value stood its ground in a conflict.
    """

    path: str
    value: Any
    step: int | None = None
    at: datetime | None = None
    kind: HistoryStepKind | None = None
    source_system: str | None = None
    event_id: str | None = None
    correlation_id: str | None = None
    held_in: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A push that was sent, or about to be, and has no answer yet."""

    id: str
    kind: str
    state: str
    created_at: datetime
    writes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A sync event that still waits, is tried again or was given up."""

    event_id: str
    source_system: str
    direction: str
    event_type: str
    status: str
    attempts: int
    next_attempt_at: datetime | None
    error_kind: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class SystemState:
    """Where the record stands at one source system.

    `state` is active, deleted, detached or none. `differences` lead from the base, on which both
    sides last agreed, to the record.
    """

    source_system: str
    external_id: str | None = None
    state: str = "none"
    in_sync: bool = False
    fetch_wanted: bool = False
    revision: int | None = None
    synced_version: int | None = None
    asof: tuple[datetime, datetime] | None = None
    updated_at: datetime | None = None
    paused_reason: str | None = None
    paused_at: datetime | None = None
    differences: tuple[FieldDiff, ...] = ()
    open_intents: tuple[OpenIntent, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that happened to one record, and what has come of it.

    `missing_versions` have no entry in the history; `truncated`: older events were left out.
    `field` is what the explanation was narrowed to.
    """

    id: str
    version: int
    fields: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    systems: tuple[SystemState, ...]
    provenance: tuple[Provenance, ...]
    unfinished: tuple[Unfinished, ...]
    steps: tuple[HistoryStep, ...]
    missing_versions: tuple[int, ...] = ()
    truncated: bool = False
    field: str | None = None
