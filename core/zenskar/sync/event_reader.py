"""Turn events into messages: check, translate, check again."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from zenskar.db.driver.storable import has_nul, storable
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import CallFailed, Failure, FailureKind, InvalidInput
from zenskar.ids import new_id
from zenskar.model.integration import ObjectRef, WebhookEvent, WebhookRequest
from zenskar.model.interval import Interval
from zenskar.schema_catalog import Schema
from zenskar.sync.message_encoder import MessageOrigin, inbound_message
from zenskar.sync.translator import Translator, check_id
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace

_log = get_logger(__name__)


class ReceivedWebhook(NamedTuple):
    """A webhook of a configured source system."""

    source: str
    request: WebhookRequest
    correlation_id: str
    traceparent: str | None = None


@dataclass(slots=True)
class EventItem:
    """An event between two steps, with its message or its error at the end.

    `text` is the JSON that its object was parsed from, if any. `exact` is False when a part of it
    was replaced because it cannot be stored.
    """

    source: str
    event: WebhookEvent
    correlation_id: str
    origin: MessageOrigin
    text: bytes | None = None
    exact: bool = True
    document: dict[str, Any] | None = None
    message: OutboxMessage | None = None
    error: Exception | None = None

    @property
    def made(self) -> OutboxMessage:
        """The message. Raises `LookupError` before it is made."""
        if self.message is None:
            raise LookupError("the event has no message")
        return self.message


class EventReader:
    """Runs each step for all events; an event that cannot be read stops no other.

    The same step for many events in a row costs about half as much as alternating steps, because
    the code stays in the processor's cache.
    """

    def __init__(self, translator: Translator, event_schema: Schema) -> None:
        self._translator = translator
        self._event_schema = event_schema
        self._steps: tuple[Callable[[EventItem], None], ...] = (
            self._check_object,
            self._translate,
            _make_message,
            self._check_made,
        )

    def read(self, items: Sequence[EventItem]) -> None:
        """Set the message of each item, or its error."""
        for step in self._steps:
            for item in items:
                if item.error is not None:
                    continue
                try:
                    step(item)
                except Exception as error:  # noqa: BLE001 - one event must not stop the others
                    item.error = error
                    report("to_canonical", item.source, item.correlation_id, error)

    def _check_object(self, item: EventItem) -> None:
        seen = item.event.seen
        if item.event.touched is not None:
            self._check_touched(item, item.event.touched)
        if seen is not None and (item.text is None or not item.exact):
            # The schema of the message makes the same check for other ids.
            check_id(seen.external_id, exact=item.exact)
        if seen is not None and item.text is None:
            seen = replace(seen, data=storable(seen.data))
            item.event = replace(item.event, seen=seen)
        self._translator.check_object(item.source, seen)

    def _check_touched(self, item: EventItem, touched: ObjectRef) -> None:
        if item.event.seen is not None:
            raise CallFailed(Failure(FailureKind.BUG, "an event both shows and names an object"))
        if not self._translator.syncs(item.source, touched.entity_type):
            text = "an event names an object of an entity type that the integration does not sync"
            raise CallFailed(Failure(FailureKind.BUG, text))
        check_id(touched.external_id, exact=item.exact)

    def _translate(self, item: EventItem) -> None:
        item.document = self._translator.translate(item.source, item.event.seen)

    def _check_made(self, item: EventItem) -> None:
        message = item.made
        seen = item.event.seen
        self._translator.check_document(seen, item.document)
        if seen is not None:
            self._translator.check_rules(item.source, seen.entity_type, item.document)
        nul_free = not has_nul(message.encode())
        self._event_schema.check(message.envelope.to_json(), nul_free=nul_free)


def _make_message(item: EventItem) -> None:
    item.message = inbound_message(
        item.source, item.event, item.document, item.correlation_id, item.origin
    )


def complete(event: WebhookEvent, sent: Interval) -> WebhookEvent:
    """Return an event with an id, and with the time `sent` unless it shows an object."""
    if event.occurred is None and event.seen is None:
        event = replace(event, occurred=sent, id=event.id or new_id())
    if event.id is not None:
        return event
    # Two equal events may name an object that was changed between them.
    return replace(event, id=new_id() if event.touched is not None else _digest(event))


def _digest(event: WebhookEvent) -> str:
    """Return an id that differs between two events that were received without one."""
    seen, occurred = event.seen, event.occurred
    content = [
        event.type,
        occurred and [occurred.low, occurred.high],
        seen and [seen.entity_type, seen.external_id, seen.data],
        [event.ignored, event.origin_key, event.changed],
    ]
    if seen is not None and seen.merged_into is not None:
        content.append(seen.merged_into)
    if seen is not None and seen.purged:
        content.append("purged")
    text = json.dumps(content, default=str, sort_keys=True)
    return f"digest:{hashlib.sha256(text.encode()).hexdigest()}"


def with_unique_ids(
    events: Sequence[WebhookEvent], source: str, correlation_id: str
) -> list[WebhookEvent]:
    """Give different events of one webhook that share an id ids of their own.

    A repeated webhook gets the same ids again. Equal events become one.
    """
    known: dict[str | None, list[WebhookEvent]] = {}
    unique = []
    for event in events:
        twins = known.setdefault(event.id, [])
        if event in twins:
            continue
        twins.append(event)
        number = len(twins)
        alone = number == 1 or event.id is None
        unique.append(event if alone else replace(event, id=f"{event.id}#{number}"))
    for name, twins in known.items():
        if name is not None and len(twins) > 1:
            _log.warning(
                "event_id_shared",
                source=source,
                external_event_id=name,
                events=len(twins),
                correlation_id=correlation_id,
            )
    return unique


def report(hook: str, source: str, correlation_id: str, error: Exception) -> None:
    """Log a bug of the plugin; input that the plugin refuses is no bug."""
    if not isinstance(error, InvalidInput):
        _log.error(
            "plugin_failed",
            source=source,
            hook=hook,
            trace=trace(error),
            correlation_id=correlation_id,
        )
