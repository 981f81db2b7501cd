"""The parts of a record's explanation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

POLL = "poll"
"""The reason of an inbound event that a feed showed; else it is how the object was seen."""


class HistoryStepKind(StrEnum):
    """The kind of a history step."""

    CHANGE = "change"
    """A change of the record through the API."""
    QUEUED = "queued"
    """A change that was queued for a connection, made elsewhere or by a resync."""
    OBSERVED = "observed"
    """An inbound event: a webhook, an event of a feed, or an object of a list or a fetch."""
    VERDICT = "verdict"
    """The kernel's decision on an inbound event."""
    CALL = "call"
    ANSWER = "answer"
    FAILED = "failed"
    RETRY = "retry"
    """A retry that an operator asked for."""
    DONE = "done"
    NOTE = "note"
    PAUSED = "paused"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """A field before and after a change; `known`: the value before is certain."""

    path: str
    before: Any
    after: Any
    known: bool = True


@dataclass(frozen=True, slots=True)
class Queued:
    """The sync event of a change for one connection, with its present status."""

    source_system: str
    event_id: str
    status: str


@dataclass(frozen=True, slots=True)
class ConflictSeen:
    """A field that both sides had changed, with the side that won."""

    path: str
    base: Any
    internal: Any
    external: Any
    winner: str
    policy: str


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that an applied change violates: the place and the text.

    The rule belongs to a `plugin`, or to the profile of a `connection`.
    """

    pointer: str
    message: str
    plugin: str | None = None
    connection: str | None = None


@dataclass(frozen=True, slots=True)
class Addition:
    """The pointers of the members that a plugin has added to the body of a push."""

    plugin: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """A step of a record's history. `cause` is the number of the step that led to this one.

    `version` is the record's version after a change. `changes` were made to the record, `writes`
    were sent to the external object, `seen` are the differences from the base. `shown` are all
    fields of an inbound event, `occurred` is its time on the external clock. `push_state` is the
    present state of a push, `added` are the additions of plugins to its body. `by` names the
    operator of a retry or a discard, from `place`.
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
    merged_into: str | None = None
    purged: bool = False
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
    violations: tuple[BrokenRule, ...] = ()
    added: tuple[Addition, ...] = ()
    queued: tuple[Queued, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """The step that gave a field its present value, None when the history does not show it.

    `held_in` are the steps in which that value won a conflict.
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
    """A push that was sent, or is about to be sent, and has no answer yet."""

    id: str
    kind: str
    state: str
    created_at: datetime
    writes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A sync event that waits, is retried or is dead."""

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
class SystemSnapshot:
    """The state of the record at one connection.

    `state` is active, deleted, detached, merged, outside or none. `base` has the fields on which
    both sides last agreed; `differences` lead from the base to the record. `merged_into` is the
    successor of a merged object.
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
    base: Mapping[str, Any] = field(default_factory=dict)
    differences: tuple[FieldDiff, ...] = ()
    merged_into: str | None = None
    open_intents: tuple[OpenIntent, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole history of a record and its present state.

    `missing_versions` have no entry in the history; `truncated`: older events were left out.
    `field` is the field to which the explanation was narrowed.
    """

    id: str
    version: int
    fields: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    systems: tuple[SystemSnapshot, ...]
    provenance: tuple[Provenance, ...]
    unfinished: tuple[Unfinished, ...]
    steps: tuple[HistoryStep, ...]
    missing_versions: tuple[int, ...] = ()
    truncated: bool = False
    field: str | None = None
