"""Make messages of events, however they were got: check, translate, check again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from zenskar.db.driver.storable import storable
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import InvalidInput
from zenskar.model.integration import WebhookEvent, WebhookRequest
from zenskar.schema_catalog import Schema
from zenskar.sync.messages import MessageOrigin, inbound_message
from zenskar.sync.translator import Translator, check_id
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace

_log = get_logger(__name__)


class ReceivedWebhook(NamedTuple):
    """A webhook of a source system that we know."""

    source: str
    request: WebhookRequest
    correlation_id: str


@dataclass(slots=True)
class EventItem:
    """An event on its way through the steps: its message, or what stopped it.

    `text` is the JSON that its object was read from, with what can be stored, if it is one;
    `exact` unless a part of it was replaced.
    """

    source: str
    event: WebhookEvent
    correlation_id: str
    told: MessageOrigin
    text: bytes | None = None
    exact: bool = True
    document: dict[str, Any] | None = None
    message: OutboxMessage | None = None
    error: Exception | None = None

    @property
    def made(self) -> OutboxMessage:
        """The message, once there is one."""
        if self.message is None:
            raise LookupError("the event has no message")
        return self.message


class EventReader:
    """Takes events through each step together; what cannot be read stops no other.

    The same step for many in a row costs about half of what it costs between other steps: the
    processor still has it at hand.
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
        """Give each item its message, or the error that stopped it."""
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
        if seen is not None and (item.text is None or not item.exact):
            # Of other ids the schema of the message says the same.
            check_id(seen.external_id, exact=item.exact)
        if seen is not None and item.text is None:
            seen = replace(seen, data=storable(seen.data))
            item.event = replace(item.event, seen=seen)
        self._translator.check_object(item.source, seen, item.text)

    def _translate(self, item: EventItem) -> None:
        item.document = self._translator.translate(item.source, item.event.seen)

    def _check_made(self, item: EventItem) -> None:
        message = item.made
        self._translator.check_document(item.event.seen, item.document, message.text)
        self._event_schema.check(message.envelope.to_json(), message.text)


def _make_message(item: EventItem) -> None:
    item.message = inbound_message(
        item.source, item.event, item.document, item.correlation_id, item.told
    )


def apart(events: Sequence[WebhookEvent], source: str, correlation_id: str) -> list[WebhookEvent]:
    """Tell events that came together apart when they share an id and show different things.

    The second gets an id of its own, the same one whenever they come again. Events that are equal
    are one.
    """
    known: dict[str, list[WebhookEvent]] = {}
    told = []
    for event in events:
        twins = known.setdefault(event.id, [])
        if event in twins:
            continue
        twins.append(event)
        number = len(twins)
        told.append(event if number == 1 else replace(event, id=f"{event.id}#{number}"))
    for name, twins in known.items():
        if len(twins) > 1:
            _log.warning(
                "event_id_shared",
                source=source,
                external_event_id=name,
                events=len(twins),
                correlation_id=correlation_id,
            )
    return told


def report(hook: str, source: str, correlation_id: str, error: Exception) -> None:
    """Log an error that is a bug of the plugin; input that it refuses is none."""
    if not isinstance(error, InvalidInput):
        _log.error(
            "plugin_failed",
            source=source,
            hook=hook,
            trace=trace(error),
            correlation_id=correlation_id,
        )
