"""Take a webhook in: verify, parse, put its events durably on the bus."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import orjson

from zenskar.bus.gather import Gather
from zenskar.bus.port import Bus
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import CallFailed, InvalidInput, TooLarge, Unavailable, ZenskarError
from zenskar.model.integration import WebhookEvent, WebhookRequest
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import Message
from zenskar.sync.envelopes import InboundEnvelopes
from zenskar.sync.oversize import bury_oversize
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.traces import trace

T = TypeVar("T")

_MOST_AT_ONCE, _HANDS = 50, 100
_log = get_logger(__name__)


class Arrival(NamedTuple):
    """A webhook of a source system that we know."""

    source: str
    request: WebhookRequest
    correlation_id: str


class Ingress:
    """The way in for webhooks of every source system."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._bus = bus
        self._envelopes = InboundEnvelopes(context.translator, event_schema)
        # The same work done for many in a row costs less than alone: the processor remembers it.
        self._arriving = Gather(self._take_in, most=_MOST_AT_ONCE, hands=_HANDS)

    async def accept(self, source: str, request: WebhookRequest, correlation_id: str) -> int:
        """Return how many events the webhook held, all of them durable.

        Raises `NotFound` for an unknown source, `BadSignature`, `InvalidInput` (with
        `SchemaViolation`) for what can never be accepted, `Unavailable` for what may be later.
        """
        self._context.router.owner(source)
        try:
            count = await self._arriving.add(Arrival(source, request, correlation_id))
        except InvalidInput:
            self._context.metrics.webhooks.labels(source, "refused").inc()
            raise
        except Unavailable:
            self._context.metrics.webhooks.labels(source, "unavailable").inc()
            raise
        self._context.metrics.webhooks.labels(source, "accepted").inc()
        return count

    async def _take_in(self, arrivals: Sequence[Arrival]) -> Sequence[int | Exception]:
        outcomes: list[int | Exception] = []
        messages: list[OutboxMessage] = []
        for arrival in arrivals:
            try:
                found = self.messages(*arrival)
            except (InvalidInput, Unavailable) as error:
                outcomes.append(error)
            else:
                outcomes.append(len(found))
                messages += found
        try:
            if messages:
                await self._publish(messages)
                await self._context.passing("webhook.published")
        except Unavailable as away:
            return [away if isinstance(outcome, int) else outcome for outcome in outcomes]
        return outcomes

    async def _publish(self, messages: Sequence[OutboxMessage]) -> None:
        try:
            await self._bus.publish(messages)
        except TooLarge:
            for message in messages:
                await self._publish_alone(message)

    async def _publish_alone(self, message: OutboxMessage) -> None:
        """The sender cannot mend it, and would send the same again for days."""
        try:
            await self._bus.publish([message])
        except TooLarge as error:
            letter = Message(message.key, message.encode(), {"topic": message.topic})
            await bury_oversize(self._context, letter, str(error))

    def messages(
        self, source: str, request: WebhookRequest, correlation_id: str
    ) -> list[OutboxMessage]:
        """Verify and read a webhook; return what `accept` puts on the bus."""
        call = self._context.router.call
        self._contained(
            source,
            "verify_webhook",
            correlation_id,
            lambda: call(source, "verify_webhook", request=request),
        )
        body = _json(request.body)
        schema = self._context.connections[source].plugin.schemas.get("webhook_event")
        if schema is not None:
            schema.check(body)
        events = self._contained(
            source,
            "parse_webhook",
            correlation_id,
            lambda: _events(call(source, "parse_webhook", request=request, body=body)),
        )
        return self._contained(
            source,
            "to_canonical",
            correlation_id,
            lambda: [self._envelopes.message(source, event, correlation_id) for event in events],
        )

    def _contained(self, source: str, hook: str, correlation_id: str, work: Callable[[], T]) -> T:
        """A bug of the plugin is no fault of the sender, who is asked to come again."""
        try:
            return work()
        except Exception as error:
            if isinstance(error, ZenskarError) and not isinstance(error, CallFailed):
                raise
            _log.error(
                "plugin_failed",
                source=source,
                hook=hook,
                trace=trace(error),
                correlation_id=correlation_id,
            )
            raise Unavailable(f"the integration of {source} failed") from error


def _events(parsed: Any) -> Sequence[WebhookEvent]:
    known = isinstance(parsed, Sequence) and all(isinstance(e, WebhookEvent) for e in parsed)
    if not known:
        raise TypeError("parse_webhook has to return a sequence of WebhookEvent")
    return cast("Sequence[WebhookEvent]", parsed)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise InvalidInput("the body is not JSON in UTF-8") from None
