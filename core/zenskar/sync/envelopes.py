"""The inbound message: how news of an external object travels on the bus, however it was got."""

from datetime import UTC, datetime
from typing import Any

from zenskar.db.outbox import OutboxMessage
from zenskar.ids import new_id
from zenskar.model.envelope import INBOUND, SCHEMA_VERSION, Envelope
from zenskar.model.integration import ExternalObject, WebhookEvent
from zenskar.model.observation import ObservationKind
from zenskar.model.sync_event import Direction
from zenskar.schema_catalog import Schema
from zenskar.sync.translate import Translator

_DIRECTION = Direction.INBOUND.value


class InboundEnvelopes:
    """Makes inbound messages that are valid against the schema of the bus."""

    def __init__(self, translator: Translator, event_schema: Schema) -> None:
        self._translator = translator
        self._event_schema = event_schema

    def message(
        self,
        source: str,
        event: WebhookEvent,
        correlation_id: str,
        kind: ObservationKind = ObservationKind.WEBHOOK,
    ) -> OutboxMessage:
        """Return the message of an event; `SchemaViolation` when its object is not valid.

        Its id is the external system's, or one that we gave.
        """
        seen = event.seen
        subject = f"{source}:{seen.external_id if seen else event.id}"
        envelope = Envelope(
            id=new_id(),
            source=source,
            type=event.type,
            subject=subject,
            time=datetime.now(UTC).isoformat(),
            data={
                "schema_version": SCHEMA_VERSION,
                "direction": _DIRECTION,
                "source_system": source,
                "external_event_id": event.id,
                "event_type": event.type,
                "occurred": [event.occurred.low, event.occurred.high],
                "kind": kind.value,
                "ignored": event.ignored,
                "origin_key": event.origin_key,
                "object": self._object(source, seen),
            },
            correlation_id=correlation_id,
        )
        self._event_schema.check(envelope.to_json())
        return OutboxMessage(INBOUND, subject, source, envelope)

    def _object(self, source: str, seen: ExternalObject | None) -> dict[str, Any] | None:
        if seen is None:
            return None
        return {
            "entity_type": seen.entity_type,
            "external_id": seen.external_id,
            "record_id": seen.record_id,
            "document": self._translator.document(source, seen),
        }
