"""Make events of webhooks: verify, parse, and have each event read."""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zenskar.db.driver.storable import loads
from zenskar.errors import CallFailed, InvalidInput, Unavailable, ZenskarError
from zenskar.json_bounds import Bounds
from zenskar.model.integration import WebhookEvent
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import EventItem, EventReader, ReceivedWebhook, apart, report
from zenskar.sync.messages import MessageOrigin, utc_now

_BOUNDS = Bounds(members=100_000, depth=64)
"""Of what an external system sends: hundreds of times what the largest events have."""


@dataclass(slots=True)
class PipelineItem:
    """A webhook on its way through the steps: what they made of it, or what stopped it.

    `error` is what the sender is told. `unread` stopped what is signed, and is kept instead.
    """

    arrival: ReceivedWebhook
    made_at: str
    body: Any = None
    exact: bool = True
    items: list[EventItem] = field(default_factory=list)
    unread: Exception | None = None
    error: Exception | None = None


_Step = Callable[[PipelineItem], None]


class WebhookPipeline:
    """Takes webhooks through each step together, and stops those that fail in it."""

    def __init__(self, context: SyncContext, event_schema: Schema) -> None:
        self._context = context
        self._call = context.router.call
        self._reader = EventReader(context.translator, event_schema)

    def read(self, webhooks: Sequence[ReceivedWebhook]) -> Sequence[PipelineItem]:
        """Return what became of each.

        Its error is `BadSignature`, `InvalidInput` for a body that is no JSON, or `Unavailable`
        for what may be accepted later.
        """
        return self._read(webhooks, ("verify_webhook", self._verify, _refused))

    def read_again(self, arrival: ReceivedWebhook) -> PipelineItem:
        """Return what is made now of a webhook that was verified when it came, long ago maybe."""
        now = replace(arrival.request, received_at=self._context.clock())
        (reading,) = self._read([arrival._replace(request=now)])
        return reading

    def _read(
        self, webhooks: Sequence[ReceivedWebhook], *first: tuple[str, _Step, "_Stop"]
    ) -> Sequence[PipelineItem]:
        now = utc_now()
        readings = [PipelineItem(arrival, now) for arrival in webhooks]
        steps = (
            *first,
            ("parse_webhook", _load, _refused),
            ("parse_webhook", self._check, _kept),
            ("parse_webhook", self._parse, _kept),
        )
        for hook, step, stop in steps:
            for reading in readings:
                if reading.error is None and reading.unread is None:
                    try:
                        step(reading)
                    except Exception as error:  # noqa: BLE001 - one must not stop the others
                        stop(reading, hook, error)
        self._reader.read([item for reading in readings for item in reading.items])
        for reading in readings:
            for item in reading.items:
                if item.error is not None:
                    _stopped(reading, item.error)
        return readings

    def _verify(self, reading: PipelineItem) -> None:
        arrival = reading.arrival
        verdict = self._call(arrival.source, "verify_webhook", request=arrival.request)
        if verdict is not None:
            # False says "not verified", and a coroutine has verified nothing yet.
            raise TypeError("verify_webhook has to raise BadSignature or to return None")

    def _check(self, reading: PipelineItem) -> None:
        text = reading.arrival.request.body
        # A shorter one has fewer members, and one that is only deep fails where it is too deep.
        if len(text) > _BOUNDS.members:
            _BOUNDS.check(reading.body, text)
        connection = self._context.connections[reading.arrival.source]
        schema = connection.plugin.schemas.get("webhook_event")
        if schema is not None:
            schema.check(reading.body, text)

    def _parse(self, reading: PipelineItem) -> None:
        source, request, correlation_id = reading.arrival
        parsed = self._call(source, "parse_webhook", request=request, body=reading.body)
        known = isinstance(parsed, Sequence) and all(isinstance(e, WebhookEvent) for e in parsed)
        if not known:
            raise TypeError("parse_webhook has to return a sequence of WebhookEvent")
        events = parsed if len(parsed) < 2 else apart(parsed, source, correlation_id)
        sent = self._context.clocks.sent
        reading.items = [
            EventItem(
                source,
                event,
                correlation_id,
                MessageOrigin(reading.made_at, sent(source, event.sent_at, request.received_at)),
                text=request.body,
                exact=reading.exact,
            )
            for event in events
        ]


_Stop = Callable[[PipelineItem, str, Exception], None]


def _load(reading: PipelineItem) -> None:
    try:
        reading.body, reading.exact = loads(
            reading.arrival.request.body.removeprefix(codecs.BOM_UTF8)
        )
    except (ValueError, RecursionError):
        raise InvalidInput("the body is not JSON in UTF-8") from None


def _stopped(reading: PipelineItem, error: Exception) -> None:
    """Have a webhook come again, or keep it as it came if its events are too deep to be kept."""
    if isinstance(error, Unavailable):
        reading.error = error
        return
    try:
        _BOUNDS.check(reading.body, reading.arrival.request.body)
    except InvalidInput as problem:
        reading.items, reading.unread = [], problem


def _refused(reading: PipelineItem, hook: str, error: Exception) -> None:
    """Stop what is not proven to be signed. A bug of the plugin is no fault of the sender."""
    if isinstance(error, ZenskarError) and not isinstance(error, CallFailed):
        reading.error = error
        return
    source, _, correlation_id = reading.arrival
    report(hook, source, correlation_id, error)
    reading.error = Unavailable(f"the integration of {source} failed")
    reading.error.__cause__ = error


def _kept(reading: PipelineItem, hook: str, error: Exception) -> None:
    """Stop what is signed: the sender cannot mend it, and would send the same for days."""
    if isinstance(error, Unavailable):
        reading.error = error
        return
    source, _, correlation_id = reading.arrival
    report(hook, source, correlation_id, error)
    reading.unread = error
