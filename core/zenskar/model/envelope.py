"""The message on the bus: a CloudEvents 1.0 structured JSON envelope.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Required, TypedDict

from zenskar.model.fields import Document

SPEC_VERSION = "1.0"
WRITTEN_VERSION, UNREAD_VERSION, TOUCHED_VERSION, MERGED_VERSION = 1, 2, 3, 4
"""Layouts of `data`: of most messages, of unreadable ones, of events that name an object, and of
events that show a merged or purged object."""
SCHEMA_VERSION = MERGED_VERSION
"""The newest known layout; a reader parks messages with a newer one."""

OUTBOUND = "sync.outbound"
INBOUND = "sync.inbound"
DEAD_LETTER = "sync.dlq"


class ObservedObject(TypedDict, total=False):
    """The external object of an inbound message; `document` is None when it is deleted.

    `changed_at` holds the ends of an interval in microseconds.
    """

    entity_type: Required[str]
    external_id: Required[str]
    record_id: Required[str | None]
    document: Required[Document | None]
    changed_at: Sequence[int]
    version: str
    memo: Mapping[str, Any]
    merged_into: str
    purged: bool


class TouchedObject(TypedDict):
    """The external object that an inbound message names without its state."""

    entity_type: str
    external_id: str


class EnvelopeData(TypedDict, total=False):
    """The `data` of a message, as `event.schema.json` describes it.

    An outbound message names a record with its version and document, or an external object to
    fetch. An inbound message describes an event of an external system; `occurred` and `sent` are
    the ends of an interval in microseconds. `unread` holds a webhook or an event that could not be
    read, as JSON in a text.
    """

    schema_version: Required[int]
    direction: Required[str]
    source_system: Required[str]
    entity_type: str
    entity_id: str
    external_id: str
    record_version: int
    document: Document | None
    external_event_id: str
    event_type: str
    occurred: Sequence[int]
    sent: Sequence[int]
    kind: str
    polled: bool
    ignored: str | None
    origin_key: str | None
    changed: Sequence[str] | None
    object: ObservedObject | None
    touched: TouchedObject
    unread: dict[str, str]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message. `time` is RFC 3339 in UTC; `subject` is `entity_type:id`.

    `event_type` is `customer.created`, `customer.updated`, `customer.deleted` or, inbound, the
    external system's own name of the event. `text` is the JSON of a message that was read.
    """

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: EnvelopeData
    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None
    text: bytes | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the structured form, without absent extensions, as CloudEvents requires."""
        body: dict[str, Any] = {
            "specversion": SPEC_VERSION,
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time,
            "datacontenttype": "application/json",
            "correlationid": self.correlation_id,
            "data": self.data,
        }
        if self.causation_id is not None:
            body["causationid"] = self.causation_id
        if self.traceparent is not None:
            body["traceparent"] = self.traceparent
        return body

    @classmethod
    def from_json(cls, body: Mapping[str, Any], text: bytes | None = None) -> "Envelope":
        """Read a body that is valid against `event.schema.json`, and keep its text."""
        return cls(
            id=body["id"],
            source=body["source"],
            type=body["type"],
            subject=body["subject"],
            time=body["time"],
            data=body["data"],
            correlation_id=body["correlationid"],
            causation_id=body.get("causationid"),
            traceparent=body.get("traceparent"),
            text=text,
        )
