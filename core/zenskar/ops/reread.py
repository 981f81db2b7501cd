"""Retry webhooks and events that could not be read when they were received."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Bus, Delivery
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.errors import Failure, Unavailable
from zenskar.model.envelope import Envelope
from zenskar.model.sync_event import SyncStatus
from zenskar.model.timestamps import utc_now
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import EventReader
from zenskar.sync.inbound.unapplied import UnappliedEvents
from zenskar.sync.ingest.pipeline import WebhookPipeline
from zenskar.sync.ingest.store import WebhookStore
from zenskar.sync.republish import REPUBLISHED
from zenskar.sync.unreadable import INVALID_OBJECT, INVALID_WEBHOOK, arrival_of, item_of, why


class UnreadableRetry:
    """Reads unreadable webhooks and events again, for a retry."""

    def __init__(
        self, context: SyncContext, bus: Bus, unapplied: UnappliedEvents, event_schema: Schema
    ) -> None:
        self._context = context
        self._unapplied = unapplied
        self._events = EventReader(context.translator, event_schema)
        self._pipeline = WebhookPipeline(context, event_schema)
        self._store = WebhookStore(context, bus)

    async def read(self, envelope: Envelope, delivery: Delivery) -> Envelope | None:
        """Return an envelope that can be applied, None when the event of this envelope has ended.

        The event ends when it is dead again, or when a webhook's own events have replaced it.
        Raises `Unavailable`.
        """
        whole = "webhook" in envelope.data["unread"]
        readable = None
        try:
            if whole:
                await self._publish_webhook(envelope)
            else:
                readable = self._read_event(envelope)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the event stays dead, with the reason
            kind, problem = why(envelope.source, error)
            reason = INVALID_WEBHOOK if whole else INVALID_OBJECT
            await self._unapplied.dead_letter(
                envelope, delivery, Failure(kind, problem), reason=reason
            )
        return readable

    def _read_event(self, envelope: Envelope) -> Envelope:
        item = item_of(envelope, utc_now())
        self._events.read([item])
        if item.error is not None:
            raise item.error
        return replace(item.made.envelope, id=envelope.id)

    async def _publish_webhook(self, envelope: Envelope) -> None:
        """Publish the events of a webhook as if it came now; known events have no effect."""
        item = self._pipeline.read_again(arrival_of(envelope))
        error = item.error or item.unread or next((part.error for part in item.parts), None)
        if error is not None:
            raise error
        await self._store.store([item])

        async def end(db: AsyncConnection) -> None:
            event_id = await self._unapplied.event_of(db, envelope)
            ended = Transition(event_id, SyncStatus.IGNORED, REPUBLISHED)
            await sync_events.move(db, [ended])

        await in_transaction(self._context.engine, end)
