"""Read again what could not be read when it came, once somebody asks for that."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Bus
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import Transition
from zenskar.errors import Unavailable
from zenskar.model.envelope import Envelope
from zenskar.model.sync_event import SyncStatus
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import RawMessage
from zenskar.sync.event_reader import EventReader
from zenskar.sync.inbound.apply import InboundSync
from zenskar.sync.ingest.pipeline import WebhookPipeline
from zenskar.sync.ingest.store import WebhookStore
from zenskar.sync.messages import utc_now
from zenskar.sync.republish import REPUBLISHED
from zenskar.sync.unreadable import INVALID_OBJECT, INVALID_WEBHOOK, arrival_of, item_of, why


class UnreadableRetry:
    """Makes of an envelope with news that could not be read one that can be applied."""

    def __init__(
        self, context: SyncContext, bus: Bus, sync: InboundSync, event_schema: Schema
    ) -> None:
        self._context = context
        self._sync = sync
        self._events = EventReader(context.translator, event_schema)
        self._webhooks = WebhookPipeline(context, event_schema)
        self._intake = WebhookStore(context, bus)

    async def read(self, envelope: Envelope, message: RawMessage, attempts: int) -> Envelope | None:
        """Return what can be applied now, None when the event of this envelope has ended.

        It has when it is dead again, or when it was a webhook whose events have taken its place.
        Raises `Unavailable`.
        """
        whole = "webhook" in envelope.data["unread"]
        readable = None
        try:
            if whole:
                await self._webhook(envelope)
            else:
                readable = self._event(envelope)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - it stays dead, and tells why
            kind, problem = why(envelope.source, error)
            reason = INVALID_WEBHOOK if whole else INVALID_OBJECT
            await self._sync.give_up(
                envelope, message, kind.value, problem, attempts, reason=reason
            )
        return readable

    def _event(self, envelope: Envelope) -> Envelope:
        item = item_of(envelope, utc_now())
        self._events.read([item])
        if item.error is not None:
            raise item.error
        return replace(item.made.envelope, id=envelope.id)

    async def _webhook(self, envelope: Envelope) -> None:
        """Take it in as if it came now; what it brought before is known, and has no effect."""
        reading = self._webhooks.read_again(arrival_of(envelope))
        stopped = reading.error or reading.unread
        if stopped is not None:
            raise stopped
        await self._intake.store([reading])

        async def end(db: AsyncConnection) -> None:
            event_id = await self._sync.event_of(db, envelope)
            ended = Transition(event_id, SyncStatus.IGNORED, REPUBLISHED)
            await sync_events.move(db, [ended])

        await in_transaction(self._context.engine, end)
