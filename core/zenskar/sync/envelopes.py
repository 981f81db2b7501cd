"""The inbound message: how news of an external object travels on the bus, however it was got."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from zenskar.db.outbox import OutboxMessage
from zenskar.ids import new_id
from zenskar.model.envelope import INBOUND, SCHEMA_VERSION, Envelope
from zenskar.model.integration import ExternalObject
from zenskar.model.interval import Interval
from zenskar.model.observation import ObservationKind
from zenskar.model.sync_event import Direction
from zenskar.schema_catalog import Schema
from zenskar.sync.translate import Translator


@dataclass(frozen=True, slots=True)
class News:
    """One event of an external system. `id` is its own name there, or one that we gave.

    `occurred` is on the external clock. Without `seen` it is only recorded, and `ignored` says
    why.
    """

    id: str
    type: str
    occurred: Interval
    seen: ExternalObject | None = None
    kind: ObservationKind = ObservationKind.WEBHOOK
    ignored: str | None = None
    origin_key: str | None = None


class InboundEnvelopes:
    """Makes inbound messages that are valid against the schema of the bus."""

    def __init__(self, translator: Translator, event_schema: Schema) -> None:
        self._translator = translator
        self._event_schema = event_schema

    def message(self, source: str, news: News, correlation_id: str) -> OutboxMessage:
        """Return the message of news; `SchemaViolation` when its object is not valid."""
        subject = f"{source}:{news.seen.external_id if news.seen else news.id}"
        envelope = Envelope(
            id=new_id(),
            source=source,
            type=news.type,
            subject=subject,
            time=datetime.now(UTC).isoformat(),
            data={
                "schema_version": SCHEMA_VERSION,
                "direction": Direction.INBOUND.value,
                "source_system": source,
                "external_event_id": news.id,
                "event_type": news.type,
                "occurred": [news.occurred.low, news.occurred.high],
                "kind": news.kind.value,
                "ignored": news.ignored,
                "origin_key": news.origin_key,
                "object": self._object(source, news.seen),
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
