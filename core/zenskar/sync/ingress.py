"""Take a webhook in: read it, and put its events durably on the bus."""

from collections import Counter
from collections.abc import Sequence

from zenskar.bus.gather import Gather
from zenskar.bus.port import Bus
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import TooLarge, Unavailable
from zenskar.model.integration import WebhookRequest
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import Message
from zenskar.sync.oversize import bury_oversize
from zenskar.sync.webhook_reader import Arrival, WebhookReader

_MOST_AT_ONCE, _HANDS, _TURNS = 400, 2, 4
"""One batch is read while the other is written. A bus that is slow to confirm gets large ones."""


class Ingress:
    """The way in for webhooks of every source system."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._bus = bus
        self._reader = WebhookReader(context, event_schema)
        self._arriving = Gather(self._take_in, most=_MOST_AT_ONCE, hands=_HANDS, turns=_TURNS)

    async def accept(self, source: str, request: WebhookRequest, correlation_id: str) -> int:
        """Return how many events the webhook held, all of them durable.

        Raises `NotFound` for an unknown source, `BadSignature`, `InvalidInput` (with
        `SchemaViolation`) for what can never be accepted, `Unavailable` for what may be later.
        """
        self._context.router.owner(source)
        return await self._arriving.add(Arrival(source, request, correlation_id))

    async def _take_in(self, arrivals: Sequence[Arrival]) -> Sequence[int | Exception]:
        outcomes = await self._outcomes(arrivals)
        results = Counter(
            (arrival.source, _result(outcome))
            for arrival, outcome in zip(arrivals, outcomes, strict=True)
        )
        for (source, result), count in results.items():
            self._context.metrics.webhooks.labels(source, result).inc(count)
        return outcomes

    async def _outcomes(self, arrivals: Sequence[Arrival]) -> Sequence[int | Exception]:
        readings = self._reader.read(arrivals)
        messages = [m for reading in readings if not reading.error for m in reading.messages]
        try:
            if messages:
                await self._publish(messages)
                await self._context.passing("webhook.published")
        except Unavailable as away:
            return [reading.error or away for reading in readings]
        return [reading.error or len(reading.messages) for reading in readings]

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


def _result(outcome: int | Exception) -> str:
    if isinstance(outcome, int):
        return "accepted"
    return "unavailable" if isinstance(outcome, Unavailable) else "refused"
