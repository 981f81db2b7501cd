"""Keep events and webhooks that cannot be read, so that a fixed integration can read them.

Each travels in an envelope of a newer layout: `unread` holds the webhook or the event exactly as
it was received.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zenskar.db.driver.json_bytes import json_bytes
from zenskar.db.driver.storable import indexable
from zenskar.db.events.sync_events import NewSyncEvent
from zenskar.errors import CallFailed, FailureKind, InvalidInput, SchemaViolation
from zenskar.model.envelope import Envelope
from zenskar.model.integration import (
    NO_QUERY,
    ExternalObject,
    ObjectRef,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.model.interval import Interval
from zenskar.model.observation import ObservationKind
from zenskar.model.timestamps import waited
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import UnsentMessage
from zenskar.sync.event_reader import EventItem, ReceivedWebhook
from zenskar.sync.message_decoder import event_of
from zenskar.sync.message_encoder import MessageOrigin, unread_envelope
from zenskar.sync.quarantine import end_as_dead

INVALID_OBJECT, INVALID_WEBHOOK = "invalid_object", "invalid_webhook"
_SECRETS = ("auth", "cert", "code", "cookie", "hmac", "key", "password", "secret", "sig", "token")
"""Parts of the names of headers and parameters that may hold a secret: those are not kept."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The envelope of an unreadable event or webhook, its sync event, and the reason."""

    envelope: Envelope
    event: NewSyncEvent
    reason: str
    error: Exception


def of_item(item: EventItem, error: Exception) -> Unreadable:
    """Keep an event that cannot be read."""
    event, seen, touched = item.event, item.event.seen, item.event.touched
    kept = {
        "kind": item.origin.kind.value,
        "polled": item.origin.polled,
        "sent": item.origin.sent,
        "exact": item.exact,
        "type": event.type,
        "occurred": event.occurred,
        "ignored": event.ignored,
        "origin_key": event.origin_key,
        "seen": seen and [seen.entity_type, seen.external_id, seen.data, seen.record_id],
        "changed_at": seen and seen.changed_at,
        "version": seen and seen.version,
        "memo": seen and seen.memo,
        "touched": touched and [touched.entity_type, touched.external_id],
    }
    envelope = unread_envelope(
        item.source,
        item.correlation_id,
        item.origin.made_at,
        (event.id, event.type),
        "event",
        _text(kept),
    )
    written = _sync_event(envelope)
    about = seen or touched
    if about is not None:
        entity_type, external_id = indexable(about.entity_type), indexable(about.external_id)
        written = written._replace(entity_type=entity_type, external_id=external_id)
    return Unreadable(envelope, written, INVALID_OBJECT, error)


def of_webhook(arrival: ReceivedWebhook, made_at: str, error: Exception) -> Unreadable:
    """Keep a webhook that cannot be parsed. The same bytes and parameters are the same webhook.

    Its URL and its token are not kept: the token is a secret.
    """
    source, request, correlation_id, _ = arrival
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = _without_secrets(request.query)
    kept = {
        "headers": _without_secrets(headers),
        # A body in any encoding comes back byte for byte.
        "body": request.body.decode(errors="surrogateescape"),
        "received_at": request.received_at,
        "method": request.method,
        "query": query,
    }
    digest = hashlib.sha256(request.body)
    if query:
        digest.update(_text(query).encode())
    about = (f"webhook:{digest.hexdigest()}", "webhook")
    envelope = unread_envelope(source, correlation_id, made_at, about, "webhook", _text(kept))
    return Unreadable(envelope, _sync_event(envelope), INVALID_WEBHOOK, error)


def item_of(envelope: Envelope, made_at: str) -> EventItem:
    """Return the event that an envelope keeps, dated by the time that it has waited."""
    kept = json.loads(envelope.data["unread"]["event"])
    changed_at = kept.get("changed_at")
    seen = kept["seen"] and replace(
        ExternalObject(*kept["seen"]),
        changed_at=changed_at and Interval(*changed_at),
        version=kept.get("version"),
        memo=kept.get("memo"),
    )
    touched, occurred = kept.get("touched"), kept["occurred"]
    event = WebhookEvent(
        id=envelope.data["external_event_id"],
        type=kept["type"],
        occurred=occurred and Interval(*occurred),
        seen=seen,
        ignored=kept["ignored"],
        origin_key=kept["origin_key"],
        touched=touched and ObjectRef(*touched),
    )
    sent = Interval(*kept.get("sent", occurred)).after(waited(envelope.time, made_at))
    kind, polled = ObservationKind(kept["kind"]), kept.get("polled", False)
    origin = MessageOrigin(made_at, sent, kind, polled)
    return EventItem(envelope.source, event, envelope.correlation_id, origin, exact=kept["exact"])


def arrival_of(envelope: Envelope) -> ReceivedWebhook:
    """Return the webhook that an envelope keeps, without the headers that may be secret."""
    kept = json.loads(envelope.data["unread"]["webhook"])
    request = WebhookRequest(
        kept["headers"],
        kept["body"].encode(errors="surrogateescape"),
        kept["received_at"],
        method=kept.get("method", "POST"),
        query=kept.get("query", NO_QUERY),
    )
    return ReceivedWebhook(envelope.source, request, envelope.correlation_id)


async def dead_letter_unread(context: SyncContext, unread: Unreadable) -> None:
    """Write a dead letter with the reason, once for each event however often it arrives."""
    message = UnsentMessage(unread.envelope.subject, json_bytes(unread.envelope.to_json()))
    kind, problem = why(unread.event.source_system, unread.error)
    await end_as_dead(context, unread.event, message, unread.reason, problem, kind)


def why(source: str, error: Exception) -> tuple[FailureKind, str]:
    """Return the kind of a failure and a text that is safe to show.

    The integration wrote the text of other errors, which may hold values of the object.
    """
    if isinstance(error, CallFailed):
        return error.failure.kind, error.failure.message
    if isinstance(error, SchemaViolation):
        return FailureKind.REJECTED, str(error)
    kind = FailureKind.REJECTED if isinstance(error, InvalidInput) else FailureKind.BUG
    return kind, f"{type(error).__name__} in the integration of {source}"


def name_of_unread(seen: ExternalObject) -> str:
    """Return an event id that differs between two states of an object that cannot be read."""
    content = json.dumps(seen.data, default=_plain, sort_keys=True)
    return f"unread:{seen.external_id}:{hashlib.sha256(content.encode()).hexdigest()}"


def _without_secrets(named: Mapping[str, Any]) -> dict[str, Any]:
    return {n: value for n, value in named.items() if not any(s in n.lower() for s in _SECRETS)}


def _sync_event(envelope: Envelope) -> NewSyncEvent:
    return event_of(envelope)._replace(detail={"received_at": envelope.time})


def _text(kept: Mapping[str, Any]) -> str:
    return json.dumps(kept, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return [value.low, value.high]
    return dict(value) if isinstance(value, Mapping) else str(value)
