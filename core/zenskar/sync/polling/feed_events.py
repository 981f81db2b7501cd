"""Turn the events of a feed into inbound messages."""

from collections.abc import Sequence
from dataclasses import replace

from zenskar.model.integration import Changes, WebhookEvent
from zenskar.model.observation import ObservationKind
from zenskar.model.timestamps import utc_now
from zenskar.plugins.invoker import Answer
from zenskar.schema_catalog import Schema
from zenskar.sync.clocks import Clocks
from zenskar.sync.event_reader import EventItem, EventReader, complete, with_unique_ids
from zenskar.sync.message_encoder import MessageOrigin
from zenskar.sync.translator import Translator
from zenskar.sync.unreadable import name_of_unread


class FeedReader:
    """Reads the events of an answered call; an event that cannot be read stops no other."""

    def __init__(self, translator: Translator, clocks: Clocks, event_schema: Schema) -> None:
        self._clocks = clocks
        self._reader = EventReader(translator, event_schema)

    def read(self, source: str, answer: Answer[Changes], run_id: str) -> list[EventItem]:
        """Return the events with their messages, or with the errors of the unreadable events."""
        now = utc_now()
        events = with_unique_ids(answer.value.events, source, run_id)
        items = [self._item(source, event, answer, run_id, now) for event in events]
        self._reader.read(items)
        for item, event in zip(items, events, strict=True):
            if item.error is not None and event.id is None and event.seen is not None:
                # The next poll may return the same state again.
                item.event = replace(item.event, id=name_of_unread(event.seen))
        return items

    def _item(
        self, source: str, event: WebhookEvent, answer: Answer[Changes], run_id: str, now: str
    ) -> EventItem:
        answered_at = event.seen.answered_at if event.seen else None
        shown = answer.value.answered_at if answered_at is None else answered_at
        during = self._clocks.date(source, answer.timing, shown)
        kind = ObservationKind.WEBHOOK
        if event.occurred is None:
            kind, event = ObservationKind.FETCH, replace(event, occurred=during)
        origin = MessageOrigin(now, during, kind, polled=True)
        return EventItem(source, complete(event, during), run_id, origin)


def unreadable(items: Sequence[EventItem]) -> list[tuple[EventItem, Exception]]:
    """Return the events that cannot be read, with their errors."""
    return [(item, item.error) for item in items if item.error is not None]
