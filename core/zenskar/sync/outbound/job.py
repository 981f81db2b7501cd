"""The job that an outbound message requests."""

from dataclasses import dataclass
from datetime import datetime

from zenskar.bus.port import Delivery
from zenskar.model.envelope import Envelope
from zenskar.sync.fanout import Cause


@dataclass(frozen=True, slots=True)
class PushJob:
    """A job to make one connection equal to one record. `changed_at` is in Unix seconds.

    With an `external_id`, the job is to fetch that external object, which has no record yet.
    `delivery` is the message that requested the job.
    """

    event_id: str
    source: str
    entity_type: str
    record_id: str
    correlation_id: str
    changed_at: float
    delivery: Delivery
    external_id: str | None = None
    traceparent: str | None = None

    @property
    def subject(self) -> str:
        """The id of the record, or of an external object without a record."""
        return self.external_id or self.record_id

    @property
    def cause(self) -> Cause:
        """The sync event of the job, as the cause of other changes."""
        return Cause(self.correlation_id, self.event_id, self.traceparent)

    @classmethod
    def of(cls, envelope: Envelope, delivery: Delivery) -> "PushJob":
        """Read a valid outbound envelope."""
        data = envelope.data
        return cls(
            event_id=envelope.id,
            source=data["source_system"],
            entity_type=data["entity_type"],
            record_id=data.get("entity_id", ""),
            correlation_id=envelope.correlation_id,
            changed_at=datetime.fromisoformat(envelope.time).timestamp(),
            delivery=delivery,
            external_id=data.get("external_id"),
            traceparent=envelope.traceparent,
        )
