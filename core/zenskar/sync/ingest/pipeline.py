"""Turn webhooks into inbound messages: verify, parse, and read each event."""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zenskar.db.driver.storable import loads
from zenskar.errors import InvalidInput, Unavailable
from zenskar.model.timestamps import utc_now
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import (
    EventItem,
    EventReader,
    ReceivedWebhook,
    complete,
    report,
    with_unique_ids,
)
from zenskar.sync.ingest.refusals import refusal
from zenskar.sync.message_encoder import MessageOrigin
from zenskar.sync.webhook_bodies import (
    BODY_BOUNDS,
    BodyReader,
    UnreadBody,
    beyond_python,
    out_of_bounds,
    storable_json,
)


@dataclass(slots=True)
class PipelineItem:
    """A webhook in the pipeline: the results of the steps so far, or the error that stopped it.

    `error` is returned to the sender. `unread` is the problem of a verified webhook that is stored
    as a dead letter instead, and `parts` are such items of an array that `is_split`. `text` is the
    JSON that the body was read from, if the core read it.
    """

    webhook: ReceivedWebhook
    made_at: str
    body: Any = None
    text: bytes | None = None
    exact: bool = True
    events: list[EventItem] = field(default_factory=list)
    is_split: bool = False
    parts: Sequence[UnreadBody] = ()
    unread: Exception | None = None
    error: Exception | None = None


_Step = Callable[[PipelineItem], None]


class WebhookPipeline:
    """Runs each step for all webhooks of a batch; a webhook that fails takes no further step."""

    def __init__(self, context: SyncContext, event_schema: Schema) -> None:
        self._context = context
        self._call = context.router.call
        self._reader = EventReader(context.translator, event_schema)
        self._bodies = BodyReader(context.router, context.connections)
        router = context.router
        self._own_readers = frozenset(
            each for each in context.connections if router.implements(each, "read_webhook")
        )
        self._by_item = frozenset(
            each for each in context.connections if router.owner(each).webhook_items
        )

    def read(self, webhooks: Sequence[ReceivedWebhook]) -> Sequence[PipelineItem]:
        """Verify and parse webhooks, and return an item for each.

        The `error` of an item is `BadSignature`, `InvalidInput` when the body cannot be read, or
        `Unavailable` when the sender should retry.
        """
        return self._read(webhooks, ("verify_webhook", self._verify, _refuse))

    def read_again(self, webhook: ReceivedWebhook) -> PipelineItem:
        """Parse a stored webhook, which was verified when it was received."""
        now = replace(webhook.request, received_at=self._context.clock())
        (item,) = self._read([webhook._replace(request=now)])
        return item

    def _read(
        self, webhooks: Sequence[ReceivedWebhook], *first: tuple[str, _Step, "_OnError"]
    ) -> Sequence[PipelineItem]:
        now = utc_now()
        items = [PipelineItem(webhook, now) for webhook in webhooks]
        steps = (
            *first,
            ("read_webhook", self._load, _refuse_unreadable),
            ("parse_webhook", self._check, _keep_unread),
            ("parse_webhook", self._parse, _keep_unread),
        )
        for hook, step, on_error in steps:
            for item in items:
                if item.error is None and item.unread is None:
                    try:
                        step(item)
                    except Exception as error:  # noqa: BLE001 - one must not stop the others
                        on_error(item, hook, error)
        self._reader.read([event for item in items for event in item.events])
        for item in items:
            for event in item.events:
                if event.error is not None:
                    _handle_event_error(item, event.error)
        return items

    def _verify(self, item: PipelineItem) -> None:
        webhook = item.webhook
        verdict = self._call(webhook.source, "verify_webhook", request=webhook.request)
        if verdict is not None:
            # False says "not verified", and a coroutine has verified nothing yet.
            raise TypeError("verify_webhook has to raise BadSignature or to return None")

    def _load(self, item: PipelineItem) -> None:
        source, request, *_ = item.webhook
        try:
            if source in self._own_readers:
                item.body = self._call(source, "read_webhook", request=request)
                return
            item.text = request.body
            item.body, item.exact = self._loads(request.body)
        except (RecursionError, OverflowError) as error:
            # The sender cannot fix a body that is JSON.
            item.unread = beyond_python(error)

    def _loads(self, body: bytes) -> tuple[Any, bool]:
        try:
            return loads(body.removeprefix(codecs.BOM_UTF8))
        except ValueError:
            raise InvalidInput("the body is not JSON in UTF-8") from None

    def _check(self, item: PipelineItem) -> None:
        text = item.text
        # A shorter body has fewer members, and one that is only deep fails where it is too deep.
        if text is None:
            item.body, item.exact = storable_json(item.body)
        elif len(text) > BODY_BOUNDS.members and (problem := BODY_BOUNDS.problem(item.body, text)):
            raise out_of_bounds(problem)
        source = item.webhook.source
        item.is_split = source in self._by_item and isinstance(item.body, list)
        if not item.is_split:
            self._bodies.check(source, item.body)

    def _parse(self, item: PipelineItem) -> None:
        source, request, correlation_id, traceparent = item.webhook
        if item.is_split:
            events, item.parts = self._bodies.read_each(
                source, ((request, body) for body in item.body), correlation_id
            )
        else:
            events = [*self._bodies.parse(source, request, item.body)]
        if len(events) > 1:
            events = with_unique_ids(events, source, correlation_id)
        sent = self._context.clocks.sent
        item.events = [
            EventItem(
                source,
                event,
                correlation_id,
                MessageOrigin(
                    item.made_at,
                    sent(source, event.sent_at, request.received_at),
                    traceparent=traceparent,
                ),
                text=item.text,
                exact=item.exact,
            )
            for event in events
        ]
        for each in item.events:
            if each.event.id is None or each.event.occurred is None:
                each.event = complete(each.event, each.origin.sent)


_OnError = Callable[[PipelineItem, str, Exception], None]


def _handle_event_error(item: PipelineItem, error: Exception) -> None:
    """Ask the sender to retry, or keep the whole webhook when its events are too deep to store."""
    if isinstance(error, Unavailable):
        item.error = error
        return
    # The bounds of any other body were checked before.
    if item.text is not None and (problem := BODY_BOUNDS.problem(item.body, item.text)):
        item.events, item.unread = [], out_of_bounds(problem)


def _refuse(item: PipelineItem, hook: str, error: Exception) -> None:
    """Refuse a webhook that is not verified. The sender may retry after a bug of the plugin."""
    source, _, correlation_id, _ = item.webhook
    item.error = refusal(hook, source, correlation_id, error)


def _refuse_unreadable(item: PipelineItem, hook: str, error: Exception) -> None:
    """Refuse a webhook whose body is not as announced; keep it after a bug of the plugin."""
    if isinstance(error, InvalidInput):
        item.error = error
    else:
        _keep_unread(item, hook, error)


def _keep_unread(item: PipelineItem, hook: str, error: Exception) -> None:
    """Keep a verified webhook: the sender cannot fix it, and would retry it for days."""
    if isinstance(error, Unavailable):
        item.error = error
        return
    source, _, correlation_id, _ = item.webhook
    report(hook, source, correlation_id, error)
    item.unread = error
