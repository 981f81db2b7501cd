"""Take a webhook in: read it, and put its events durably on the bus."""

from collections import Counter
from collections.abc import Mapping, Sequence

from zenskar.bus.batcher import Batcher
from zenskar.bus.port import Bus
from zenskar.errors import BadSignature, Unavailable
from zenskar.model.integration import WebhookRequest
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.ingest.pipeline import WebhookPipeline
from zenskar.sync.ingest.store import StoredWebhook, WebhookStore

_MOST_AT_ONCE, _HANDS, _TURNS = 400, 2, 4
"""One batch is read while the other is written. A bus that is slow to confirm gets large ones."""


class WebhookReceiver:
    """The way in for webhooks of every source system."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._reader = WebhookPipeline(context, event_schema)
        self._intake = WebhookStore(context, bus)
        self._arriving = Batcher(self._take_in, most=_MOST_AT_ONCE, receivers=_HANDS, turns=_TURNS)

    def expect(self, source: str, headers: Mapping[str, str]) -> None:
        """Refuse by its headers what need not be read: `NotFound` or `BadSignature`."""
        for name in self._context.router.owner(source).webhook_headers:
            if not headers.get(name):
                raise BadSignature(f"the header {name} is missing")

    async def accept(
        self, source: str, request: WebhookRequest, correlation_id: str
    ) -> StoredWebhook:
        """Return how many events the webhook held, all of them durable.

        Raises `NotFound` for an unknown source, `BadSignature`, `InvalidInput` for what is no
        webhook at all, `Unavailable` for what may be accepted later.
        """
        self._context.router.owner(source)
        return await self._arriving.add(ReceivedWebhook(source, request, correlation_id))

    async def _take_in(
        self, webhooks: Sequence[ReceivedWebhook]
    ) -> Sequence[StoredWebhook | Exception]:
        outcomes = await self._outcomes(webhooks)
        results = Counter(
            (arrival.source, _result(outcome))
            for arrival, outcome in zip(webhooks, outcomes, strict=True)
        )
        for (source, result), count in results.items():
            self._context.metrics.webhooks.labels(source, result).inc(count)
        return outcomes

    async def _outcomes(
        self, webhooks: Sequence[ReceivedWebhook]
    ) -> Sequence[StoredWebhook | Exception]:
        readings = self._reader.read(webhooks)
        try:
            taken = iter(await self._intake.store([r for r in readings if r.error is None]))
        except Unavailable as away:
            return [reading.error or away for reading in readings]
        return [reading.error or next(taken) for reading in readings]


def _result(outcome: StoredWebhook | Exception) -> str:
    if isinstance(outcome, StoredWebhook):
        return "accepted"
    return "unavailable" if isinstance(outcome, Unavailable) else "refused"
