"""Receive webhooks: read them, and publish their events durably."""

from collections import Counter
from collections.abc import Mapping, Sequence

from zenskar.bus.batcher import Batcher
from zenskar.bus.port import Bus
from zenskar.errors import BadSignature, NotFound, Unavailable
from zenskar.model.integration import WebhookRequest
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.ingest.pipeline import WebhookPipeline
from zenskar.sync.ingest.store import StoredWebhook, WebhookStore

_BATCH_SIZE, _RECEIVERS, _TURNS = 400, 2, 4
"""Two receivers, so that a batch is read while another is published; a slow bus gets large ones."""


class WebhookReceiver:
    """Receives the webhooks of every connection, in batches."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._pipeline = WebhookPipeline(context, event_schema)
        self._store = WebhookStore(context, bus)
        self._batcher = Batcher(self._receive, most=_BATCH_SIZE, receivers=_RECEIVERS, turns=_TURNS)

    def expect(self, source: str, headers: Mapping[str, str]) -> None:
        """Check the headers of a webhook before its body is read.

        Raises `NotFound` for a connection that is unknown or receives no webhooks, and
        `BadSignature` when a header is missing.
        """
        router = self._context.router
        if not router.implements(source, "parse_webhook"):
            raise NotFound(f"connection {source} receives no webhooks: its system is polled")
        for name in router.owner(source).webhook_headers:
            if not headers.get(name):
                raise BadSignature(f"the header {name} is missing")

    async def accept(
        self, source: str, request: WebhookRequest, correlation_id: str
    ) -> StoredWebhook:
        """Store the events of a webhook durably and return their numbers.

        Raises `NotFound` for an unknown connection, `BadSignature`, `InvalidInput` when the body
        is not JSON, and `Unavailable` when the sender should retry.
        """
        self._context.router.owner(source)
        return await self._batcher.submit(ReceivedWebhook(source, request, correlation_id))

    async def _receive(
        self, webhooks: Sequence[ReceivedWebhook]
    ) -> Sequence[StoredWebhook | Exception]:
        outcomes = await self._outcomes(webhooks)
        results = Counter(
            (webhook.source, _result(outcome))
            for webhook, outcome in zip(webhooks, outcomes, strict=True)
        )
        for (source, result), count in results.items():
            self._context.metrics.webhooks.labels(source, result).inc(count)
        return outcomes

    async def _outcomes(
        self, webhooks: Sequence[ReceivedWebhook]
    ) -> Sequence[StoredWebhook | Exception]:
        items = self._pipeline.read(webhooks)
        try:
            stored = iter(await self._store.store([item for item in items if item.error is None]))
        except Unavailable as unavailable:
            return [item.error or unavailable for item in items]
        return [item.error or next(stored) for item in items]


def _result(outcome: StoredWebhook | Exception) -> str:
    if isinstance(outcome, StoredWebhook):
        return "accepted"
    return "unavailable" if isinstance(outcome, Unavailable) else "refused"
