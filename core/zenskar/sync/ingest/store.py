"""Make durable what webhooks hold: events on the bus, and what cannot be read as dead letters."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from zenskar.bus.port import Bus
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import TooLarge
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import RawMessage
from zenskar.sync.ingest.pipeline import PipelineItem
from zenskar.sync.quarantine import bury_oversize
from zenskar.sync.unreadable import Unreadable, bury_unread, of_item, of_webhook


class StoredWebhook(NamedTuple):
    """How many events of a webhook are on the bus, and how many are dead letters instead."""

    accepted: int
    dead: int = 0


class WebhookStore:
    """Stores what was read, together where that is possible."""

    def __init__(self, context: SyncContext, bus: Bus) -> None:
        self._context = context
        self._bus = bus

    async def store(self, readings: Sequence[PipelineItem]) -> list[StoredWebhook]:
        """Return what became of signed webhooks, all of it durable. Raises `Unavailable`."""
        messages = [item.made for r in readings for item in r.items if item.error is None]
        too_large: Collection[str] = ()
        if messages:
            too_large = await self._publish(messages)
            await self._context.failpoint("webhook.published")
        for reading in readings:
            for unread in _unread(reading):
                await bury_unread(self._context, unread)
        return [_taken(reading, too_large) for reading in readings]

    async def _publish(self, messages: Sequence[OutboxMessage]) -> set[str]:
        """Put messages on the bus; return the ids of those that it can never take."""
        try:
            await self._bus.publish(messages)
        except TooLarge:
            return {m.envelope.id for m in messages if not await self._publish_alone(m)}
        return set()

    async def _publish_alone(self, message: OutboxMessage) -> bool:
        """The sender cannot mend it, and would send the same again for days."""
        try:
            await self._bus.publish([message])
        except TooLarge as error:
            letter = RawMessage(message.key, message.encode(), {"topic": message.topic})
            await bury_oversize(self._context, letter, str(error))
            return False
        return True


def _unread(reading: PipelineItem) -> list[Unreadable]:
    """Return what of a webhook cannot be read: some of its events, or all of it."""
    if reading.unread is not None:
        return [of_webhook(reading.arrival, reading.made_at, reading.unread)]
    return [of_item(item, item.error) for item in reading.items if item.error is not None]


def _taken(reading: PipelineItem, too_large: Collection[str]) -> StoredWebhook:
    sent = [item.made.envelope.id for item in reading.items if item.error is None]
    accepted = sum(each not in too_large for each in sent)
    whole = int(reading.unread is not None)
    return StoredWebhook(accepted, len(reading.items) - accepted + whole)
