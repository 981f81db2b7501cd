"""The values that the hooks of broadcast plugins receive after a commit.

They hold ids and names only, so a plugin that logs them logs no personal data.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordChanged:
    """A record that was changed here, or by an event of a connection.

    `action` is created, updated, deleted or undeleted. `source` is the connection whose event made
    the change, None for a change here. `fields` are the changed fields as JSON pointers, such as
    `/phone` and `/metadata/plan`; it is empty for a delete and an undelete.
    """

    entity_type: str
    record_id: str
    version: int
    action: str
    source: str | None
    fields: tuple[str, ...]
    correlation_id: str


@dataclass(frozen=True, slots=True)
class ConflictRecorded:
    """A field that both sides had changed.

    `field` is a JSON pointer, and `winner` is internal or external. The history of the sync event
    has both values.
    """

    entity_type: str
    record_id: str
    source: str
    field: str
    winner: str
    sync_event_id: str


@dataclass(frozen=True, slots=True)
class DeadLetterAdded:
    """A sync event that became a dead letter.

    `source` is the name that its message gives. `kind` is that of the failure, if there was one.
    """

    source: str
    sync_event_id: str
    kind: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ConnectionPaused:
    """A connection whose calls are stopped; `reason` is that of `GET /connections`."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionResumed:
    """A connection whose calls go on."""

    source: str


Notice = RecordChanged | ConflictRecorded | DeadLetterAdded | ConnectionPaused | ConnectionResumed
