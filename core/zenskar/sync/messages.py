"""The wire format: encode and decode the messages on the bus, inbound and outbound."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import orjson

from zenskar.db.driver.json_bytes import json_bytes
from zenskar.db.driver.storable import has_nul, indexable
from zenskar.db.events.failed_events import FailedEvent
from zenskar.db.events.sync_events import NewSyncEvent
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import CallFailed, Failure, FailureKind, InvalidInput, SchemaViolation
from zenskar.ids import new_id
from zenskar.model.envelope import (
    INBOUND,
    MERGED_VERSION,
    OUTBOUND,
    SCHEMA_VERSION,
    TOUCHED_VERSION,
    UNREAD_VERSION,
    WRITTEN_VERSION,
    Envelope,
    EnvelopeData,
    ObservedObject,
)
from zenskar.model.fields import DocumentView
from zenskar.model.integration import ExternalObject, ObjectRef, WebhookEvent
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.sync_event import Direction
from zenskar.schema_catalog import Schema
from zenskar.sync.translator import memo_of

_INBOUND, _OUTBOUND = Direction.INBOUND.value, Direction.OUTBOUND.value
_MOST_TYPE_CHARACTERS = 256
_KINDS = MappingProxyType({kind.value: kind for kind in ObservationKind})


class UnreadableMessage(InvalidInput):
    """A message that is no envelope, belongs on another topic, or has a newer layout."""


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


def utc_now() -> str:
    """Return the time in RFC 3339."""
    return datetime.now(UTC).isoformat()


def waited(made_at: str, now: str) -> int:
    """Return for how many microseconds a message has waited."""
    since = datetime.fromisoformat(now) - datetime.fromisoformat(made_at)
    return max(0, since // timedelta(microseconds=1))


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
    event without an id or a time.
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


def read_envelope(value: bytes, schema: Schema, direction: Direction | None = None) -> Envelope:
    """Return the envelope of a message.

    Raises `UnreadableMessage`, whose text names the problem; with a `direction` also for a message
    of the other one, because a topic carries one direction.
    """
    try:
        body = orjson.loads(value)
        schema.check(body, nul_free=not has_nul(value))
    except (orjson.JSONDecodeError, RecursionError):
        raise UnreadableMessage("the message is not JSON") from None
    except SchemaViolation as error:
        raise UnreadableMessage(str(error)) from None
    data = body["data"]
    if data["schema_version"] > SCHEMA_VERSION:
        raise UnreadableMessage(
            f"the message has layout {data['schema_version']}, "
            f"this program reads up to {SCHEMA_VERSION}"
        )
    if direction is not None and data["direction"] != direction:
        raise UnreadableMessage(f"the message is {data['direction']}, its topic {direction.value}")
    try:
        # RFC 3339 knows times that Python does not: a leap second, the year 0.
        datetime.fromisoformat(body["time"])
    except ValueError:
        raise UnreadableMessage("the time of the message is out of range") from None
    return Envelope.from_json(body, value)


def event_of(envelope: Envelope) -> NewSyncEvent:
    """Return the sync event of an envelope, which may not be written yet."""
    data = envelope.data
    about = data.get("object") or data.get("touched")
    return NewSyncEvent(
        id=envelope.id,
        direction=Direction(data["direction"]),
        source_system=data["source_system"],
        event_type=envelope.type,
        correlation_id=envelope.correlation_id,
        entity_type=data.get("entity_type") or (about["entity_type"] if about else None),
        entity_id=data.get("entity_id") if data["direction"] == Direction.OUTBOUND else None,
        external_id=data.get("external_id") or (about["external_id"] if about else None),
        external_event_id=data.get("external_event_id"),
        causation_id=envelope.causation_id,
    )


def received_event(envelope: Envelope) -> NewSyncEvent:
    """Return the sync event of an inbound envelope as it is written first, with its message."""
    data = envelope.data
    about = data.get("object") or data.get("touched")
    return NewSyncEvent(
        id=envelope.id,
        direction=Direction.INBOUND,
        source_system=data["source_system"],
        event_type=data["event_type"],
        correlation_id=envelope.correlation_id,
        entity_type=about["entity_type"] if about else None,
        external_id=about["external_id"] if about else None,
        external_event_id=data["external_event_id"],
        causation_id=envelope.causation_id,
        payload=envelope.text or orjson.dumps(envelope.to_json()),
        detail={"received_at": envelope.time},
    )


def observation(view: DocumentView, data: Mapping[str, Any]) -> Observation:
    """Return the observation of the external object in an envelope's data, as a view shows it."""
    seen = data["object"]
    shown, sent = view.show(seen["document"]), data.get("sent")
    changed, changed_at = data.get("changed"), seen.get("changed_at")
    return Observation(
        kind=_KINDS[data.get("kind", ObservationKind.WEBHOOK)],
        external_id=seen["external_id"],
        asof=Interval(*data["occurred"]),
        fields=shown.fields,
        unseen=shown.unseen,
        apart=shown.apart,
        record_id=seen.get("record_id"),
        origin_key=data.get("origin_key"),
        sent=None if sent is None else Interval(*sent),
        changed=None if changed is None else view.origins(changed),
        changed_at=None if changed_at is None else Interval(*changed_at),
        version=seen.get("version"),
        memo=seen.get("memo"),
        merged_into=seen.get("merged_into"),
        purged=seen.get("purged", False),
    )


def delayed_observation(view: DocumentView, envelope: Envelope) -> Observation:
    """Return the observation in an envelope that has waited for a retry or a resumption."""
    seen = observation(view, envelope.data)
    since = waited(envelope.time, utc_now())
    return seen if seen.sent is None else replace(seen, sent=seen.sent.after(since))
