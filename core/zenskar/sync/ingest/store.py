"""Store webhooks durably: their events on the bus, unreadable events as dead letters."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from zenskar.bus.port import Bus
from zenskar.sync.context import SyncContext
from zenskar.sync.event_publisher import EventPublisher
from zenskar.sync.ingest.pipeline import PipelineItem
from zenskar.sync.unreadable import Unreadable, dead_letter_unread, of_item, of_webhook
from zenskar.sync.webhook_bodies import UnreadBody


class StoredWebhook(NamedTuple):
    """The number of a webhook's events on the bus, and of those that are dead letters instead."""

    accepted: int
    dead: int = 0


class WebhookStore:
    """Stores the webhooks of a batch, and publishes their events together where possible."""

    def __init__(self, context: SyncContext, bus: Bus) -> None:
        self._context = context
        self._publisher = EventPublisher(context, bus)

    async def store(self, items: Sequence[PipelineItem]) -> list[StoredWebhook]:
        """Store verified webhooks durably and return a count for each. Raises `Unavailable`."""
        messages = [event.made for item in items for event in item.events if event.error is None]
        too_large: Collection[str] = ()
        if messages:
            too_large = await self._publisher.publish(messages)
            await self._context.failpoint("webhook.published")
        for item in items:
            for unread in _unread(item):
                await dead_letter_unread(self._context, unread)
        return [_count(item, too_large) for item in items]


def _unread(item: PipelineItem) -> list[Unreadable]:
    """Return the unreadable events and items of a webhook, or the whole webhook instead."""
    if item.unread is not None:
        return [of_webhook(item.webhook, item.made_at, item.unread)]
    events = [of_item(event, event.error) for event in item.events if event.error is not None]
    return [*events, *(_of_part(item, part) for part in item.parts)]


def _of_part(item: PipelineItem, part: UnreadBody) -> Unreadable:
    """Keep an item of an array as an array of one, which is read in the same way."""
    body = json.dumps([part.body]).encode()
    webhook = item.webhook._replace(request=replace(item.webhook.request, body=body))
    return of_webhook(webhook, item.made_at, part.error)


def _count(item: PipelineItem, too_large: Collection[str]) -> StoredWebhook:
    ids = [event.made.envelope.id for event in item.events if event.error is None]
    accepted = sum(each not in too_large for each in ids)
    unread = 1 if item.unread is not None else len(item.parts)
    return StoredWebhook(accepted, len(item.events) - accepted + unread)
