"""The wire format: encode the messages on the bus, inbound and outbound."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from zenskar.db.driver.json_bytes import json_bytes
from zenskar.db.driver.storable import indexable
from zenskar.db.events.failed_events import FailedEvent
from zenskar.db.events.sync_events import NewSyncEvent
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.ids import new_id
from zenskar.model.envelope import (
    INBOUND,
    MERGED_VERSION,
    OUTBOUND,
    TOUCHED_VERSION,
    UNREAD_VERSION,
    WRITTEN_VERSION,
    Envelope,
    EnvelopeData,
    ObservedObject,
)
from zenskar.model.integration import ExternalObject, ObjectRef, WebhookEvent
from zenskar.model.interval import Interval
from zenskar.model.observation import ObservationKind
from zenskar.model.sync_event import Direction
from zenskar.model.timestamps import utc_now
from zenskar.sync.translator import memo_of

_INBOUND, _OUTBOUND = Direction.INBOUND.value, Direction.OUTBOUND.value
_MOST_TYPE_CHARACTERS = 256


class MessageOrigin(NamedTuple):
    """How an event arrived: its kind, and when it was sent on the external clock.

    `made_at` is the time of its message in RFC 3339, on our clock. A feed showed the event if it is
    `polled`, a webhook or a call otherwise. `traceparent` names the span of the request.
    """

    made_at: str
    sent: Interval
    kind: ObservationKind = ObservationKind.WEBHOOK
    polled: bool = False
    traceparent: str | None = None


def inbound_message(
    source: str,
    event: WebhookEvent,
    document: Mapping[str, Any] | None,
    correlation_id: str,
    origin: MessageOrigin,
) -> OutboxMessage:
    """Return the message of an event whose object has this canonical document.

    The message is valid against the schema of the bus only if the integration's answers are. Its
    external event id is the external system's, or one that we assigned. Raises `CallFailed` for an
    event without an id or a time, and `SchemaViolation` for an integer beyond 64 bits.
    """
    name, occurred = identity(event)
    seen, touched = event.seen, event.touched
    about = seen or touched
    subject = f"{source}:{about.external_id if about else name}"
    observed: ObservedObject | None = None
    if seen is not None:
        observed = {
            "entity_type": seen.entity_type,
            "external_id": seen.external_id,
            "record_id": seen.record_id,
            "document": document,
        }
        if seen.changed_at is not None:
            observed["changed_at"] = [seen.changed_at.low, seen.changed_at.high]
        if seen.version is not None:
            observed["version"] = seen.version
        if seen.memo is not None:
            observed["memo"] = memo_of(seen.memo)
    envelope = Envelope(
        id=new_id(),
        source=source,
        type=event.type,
        subject=subject,
        time=origin.made_at,
        data={
            "schema_version": WRITTEN_VERSION,
            "direction": _INBOUND,
            "source_system": source,
            "external_event_id": name,
            "event_type": event.type,
            "occurred": [occurred.low, occurred.high],
            "sent": [origin.sent.low, origin.sent.high],
            "kind": origin.kind.value,
            "ignored": event.ignored,
            "origin_key": event.origin_key,
            "changed": list(event.changed) if isinstance(event.changed, tuple) else event.changed,
            "object": observed,
        },
        correlation_id=correlation_id,
        traceparent=origin.traceparent,
    )
    if origin.polled:
        envelope.data["polled"] = True
    if touched is not None:
        _name_object(envelope.data, touched)
    if observed is not None and seen is not None:
        _add_end(envelope.data, observed, seen)
    return OutboxMessage(INBOUND, subject, source, envelope, json_bytes(envelope.to_json()))


def identity(event: WebhookEvent) -> tuple[str, Interval]:
    """Return the id and the time of an event. Raises `CallFailed` for an event without them."""
    if event.id is None or event.occurred is None:
        text = "an event that shows an object needs the time of that state as `occurred`"
        raise CallFailed(Failure(FailureKind.BUG, text))
    return event.id, event.occurred


def _name_object(data: EnvelopeData, touched: ObjectRef) -> None:
    """Name an object in a message of a newer layout, since older releases would ignore it."""
    data["schema_version"] = TOUCHED_VERSION
    data["touched"] = {"entity_type": touched.entity_type, "external_id": touched.external_id}


def _add_end(data: EnvelopeData, observed: ObservedObject, seen: ExternalObject) -> None:
    """Add a merge or a purge in a newer layout: to older releases both would be deletes."""
    if seen.merged_into is not None:
        data["schema_version"] = MERGED_VERSION
        observed["merged_into"] = seen.merged_into
    if seen.purged:
        data["schema_version"] = MERGED_VERSION
        observed["purged"] = True


def unread_envelope(
    source: str,
    correlation_id: str,
    made_at: str,
    about: tuple[Any, Any],
    form: str,
    unread: str,
) -> Envelope:
    """Return the envelope of an event or a webhook that cannot be read, `about` its id and type.

    `unread` is a text, because that holds values which an envelope must not hold.
    """
    name, event_type = indexable(about[0]), indexable(about[1], _MOST_TYPE_CHARACTERS)
    return Envelope(
        id=new_id(),
        source=source,
        type=event_type,
        subject=f"{source}:{name}",
        time=made_at,
        data={
            "schema_version": UNREAD_VERSION,
            "direction": _INBOUND,
            "source_system": source,
            "external_event_id": name,
            "event_type": event_type,
            "occurred": [0, 0],
            "unread": {form: unread},
        },
        correlation_id=correlation_id,
    )


def record_message(
    event: NewSyncEvent | FailedEvent,
    version: int,
    document: Mapping[str, Any] | None,
    *,
    traceparent: str | None = None,
) -> OutboxMessage:
    """Return the message of an outbound event; it shows the record to readers of the topic."""
    about = {
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "record_version": version,
        "document": document,
    }
    return _outbound_message(event, f"{event.entity_type}:{event.entity_id}", about, traceparent)


def look_message(
    event: NewSyncEvent | FailedEvent, *, traceparent: str | None = None
) -> OutboxMessage:
    """Return the message of an outbound event that requests a fetch of an external object."""
    about = {"entity_type": event.entity_type, "external_id": event.external_id}
    key = f"{event.source_system}:{event.external_id}"
    return _outbound_message(event, key, about, traceparent)


def _outbound_message(
    event: NewSyncEvent | FailedEvent,
    key: str,
    about: Mapping[str, Any],
    traceparent: str | None,
) -> OutboxMessage:
    data = {
        "schema_version": WRITTEN_VERSION,
        "direction": _OUTBOUND,
        "source_system": event.source_system,
        **about,
    }
    envelope = Envelope(
        id=event.id,
        source="zenskar",
        type=event.event_type,
        subject=key,
        time=utc_now(),
        data=cast("EnvelopeData", data),
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        traceparent=traceparent,
    )
    return OutboxMessage(OUTBOUND, key, event.source_system, envelope)
