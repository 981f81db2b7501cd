"""The wire format: decode the messages on the bus into envelopes, events and observations."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import orjson

from zenskar.db.driver.storable import has_nul
from zenskar.db.events.sync_events import NewSyncEvent
from zenskar.errors import InvalidInput, SchemaViolation
from zenskar.model.envelope import SCHEMA_VERSION, Envelope
from zenskar.model.fields import DocumentView
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.sync_event import Direction
from zenskar.model.timestamps import utc_now, waited
from zenskar.schema_catalog import Schema

_KINDS = MappingProxyType({kind.value: kind for kind in ObservationKind})


class UnreadableMessage(InvalidInput):
    """A message that is no envelope, belongs on another topic, or has a newer layout."""


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
