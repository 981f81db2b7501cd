"""Turn the events of a feed into inbound messages."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from zenskar.errors import CallFailed, SchemaViolation
from zenskar.model.integration import Changes, WebhookEvent, WebhookRequest
from zenskar.model.observation import ObservationKind
from zenskar.model.timestamps import utc_now
from zenskar.plugins.invoker import Answer
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import (
    EventItem,
    EventReader,
    ReceivedWebhook,
    complete,
    with_unique_ids,
)
from zenskar.sync.message_encoder import MessageOrigin
from zenskar.sync.unreadable import Unreadable, name_of_unread, of_item, of_webhook
from zenskar.sync.webhook_bodies import BodyReader, UnreadBody, storable_json


class FeedPart(NamedTuple):
    """The readable events of an answered call, and the events and bodies that cannot be read."""

    items: list[EventItem]
    unread: list[Unreadable]


class FeedReader:
    """Reads the events of an answered call; an event that cannot be read stops no other."""

    def __init__(self, context: SyncContext, event_schema: Schema) -> None:
        self._context = context
        self._clocks = context.clocks
        self._bodies = BodyReader(context.router, context.connections)
        self._reader = EventReader(context.translator, event_schema)

    def read(self, source: str, answer: Answer[Changes], run_id: str) -> FeedPart:
        """Return the events with their messages, and what cannot be read. Raises `Unavailable`."""
        now = utc_now()
        listed = self._listed(source, answer.value.bodies, run_id)
        events = with_unique_ids([*answer.value.events, *listed.events], source, run_id)
        items = [self._item(source, event, answer, run_id, now, listed.exact) for event in events]
        self._reader.read(items)
        for item, event in zip(items, events, strict=True):
            if item.error is not None and event.id is None and event.seen is not None:
                # The next poll may return the same state again.
                item.event = replace(item.event, id=name_of_unread(event.seen))
        bodies = [
            of_webhook(ReceivedWebhook(source, each.request, run_id), now, each.error)
            for each in listed.unread
        ]
        unread = [of_item(item, item.error) for item in items if item.error is not None]
        return FeedPart([item for item in items if item.error is None], [*unread, *bodies])

    def _listed(self, source: str, bodies: Sequence[Any], run_id: str) -> "_Listed":
        """Read the bodies of webhooks that a feed lists, as if these webhooks had arrived."""
        exact, unread = True, list[UnreadBody]()
        valid: list[tuple[WebhookRequest, Any]] = []
        for body in bodies:
            request = _request(body, self._context.clock())
            try:
                kept, same = storable_json(body)
            except (SchemaViolation, CallFailed) as error:
                unread.append(UnreadBody(request, body, error))
                continue
            exact = exact and same
            valid.append((request, kept))
        events, invalid = self._bodies.read_each(source, valid, run_id)
        synced = [event for event in events if event.ignored is None]
        return _Listed(synced, [*unread, *invalid], exact)

    def _item(
        self,
        source: str,
        event: WebhookEvent,
        answer: Answer[Changes],
        run_id: str,
        now: str,
        exact: bool,
    ) -> EventItem:
        answered_at = event.seen.answered_at if event.seen else None
        shown = answer.value.answered_at if answered_at is None else answered_at
        during = self._clocks.date(source, answer.timing, shown)
        kind = ObservationKind.WEBHOOK
        if event.occurred is None:
            kind, event = ObservationKind.FETCH, replace(event, occurred=during)
        origin = MessageOrigin(now, during, kind, polled=True)
        return EventItem(source, complete(event, during), run_id, origin, exact=exact)


class _Listed(NamedTuple):
    """The events of listed bodies; `exact` is False when a part of one cannot be stored."""

    events: list[WebhookEvent]
    unread: list[UnreadBody]
    exact: bool


def _request(body: Any, received_at: float) -> WebhookRequest:
    """Return the request that holds a body, from which a dead letter is read again."""
    return WebhookRequest({}, json.dumps(body, default=str).encode(), received_at)
