"""The message on the bus: a CloudEvents 1.0 structured JSON envelope.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SPEC_VERSION = "1.0"
WRITTEN_VERSION, UNREAD_VERSION = 1, 2
"""Layouts of `data`: of every readable message, and of unreadable webhooks and events."""
SCHEMA_VERSION = UNREAD_VERSION
"""The newest known layout; a reader parks messages with a newer one."""

OUTBOUND = "sync.outbound"
INBOUND = "sync.inbound"
DEAD_LETTER = "sync.dlq"


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
    data: Mapping[str, Any]
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
