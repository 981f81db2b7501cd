"""The inbound message: how news of an external object travels on the bus, however it was got."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from zenskar.db.driver.packing import document as document_of
from zenskar.db.outbox import OutboxMessage
from zenskar.ids import new_id
from zenskar.model.envelope import INBOUND, WRITTEN_VERSION, Envelope, ObservedObject
from zenskar.model.integration import WebhookEvent
from zenskar.model.interval import Interval
from zenskar.model.observation import ObservationKind
from zenskar.model.sync_event import Direction

_DIRECTION = Direction.INBOUND.value


def utc_now() -> str:
    """Return the time in RFC 3339."""
    return datetime.now(UTC).isoformat()


def waited(made_at: str, now: str) -> int:
    """Return for how many microseconds a message has waited."""
    since = datetime.fromisoformat(now) - datetime.fromisoformat(made_at)
    return max(0, since // timedelta(microseconds=1))


class MessageOrigin(NamedTuple):
    """How news got here: in which way, and when it was sent on the external clock.

    `made_at` is the time of its message in RFC 3339, on ours.
    """

    made_at: str
    sent: Interval
    kind: ObservationKind = ObservationKind.WEBHOOK


def inbound_message(
    source: str,
    event: WebhookEvent,
    document: Mapping[str, Any] | None,
    correlation_id: str,
    told: MessageOrigin,
) -> OutboxMessage:
    """Return the message of an event whose object has this canonical document.

    The message is valid against the schema of the bus only if what the integration made is. Its
    external event id is the external system's, or one that we gave.
    """
    seen = event.seen
    subject = f"{source}:{seen.external_id if seen else event.id}"
    observed: ObservedObject | None = None
    if seen is not None:
        observed = {
            "entity_type": seen.entity_type,
            "external_id": seen.external_id,
            "record_id": seen.record_id,
            "document": document,
        }
    envelope = Envelope(
        id=new_id(),
        source=source,
        type=event.type,
        subject=subject,
        time=told.made_at,
        data={
            "schema_version": WRITTEN_VERSION,
            "direction": _DIRECTION,
            "source_system": source,
            "external_event_id": event.id,
            "event_type": event.type,
            "occurred": [event.occurred.low, event.occurred.high],
            "sent": [told.sent.low, told.sent.high],
            "kind": told.kind.value,
            "ignored": event.ignored,
            "origin_key": event.origin_key,
            "changed": event.changed,
            "object": observed,
        },
        correlation_id=correlation_id,
    )
    return OutboxMessage(INBOUND, subject, source, envelope, document_of(envelope.to_json()))
