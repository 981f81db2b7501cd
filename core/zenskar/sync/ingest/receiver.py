"""Receive webhooks: read them, publish their events durably, and find their answers."""

from collections import Counter
from collections.abc import Mapping, Sequence

from zenskar.bus.batcher import Batcher
from zenskar.bus.port import Bus
from zenskar.errors import BadSignature, NotFound, Unavailable
from zenskar.model.integration import WebhookRequest
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.ingest.answers import WebhookAnswers
from zenskar.sync.ingest.pipeline import WebhookPipeline
from zenskar.sync.ingest.refusals import RefusalLog
from zenskar.sync.ingest.store import StoredWebhook, WebhookStore
from zenskar.telemetry.metrics import WebhookRefusal

_BATCH_SIZE, _RECEIVERS, _TURNS = 400, 2, 4
"""Two receivers, so that a batch is read while another is published; a slow bus gets large ones."""


class WebhookReceiver:
    """Receives the webhooks of every connection, in batches."""

    def __init__(self, context: SyncContext, bus: Bus, event_schema: Schema) -> None:
        self._context = context
        self._pipeline = WebhookPipeline(context, event_schema)
        self._store = WebhookStore(context, bus)
        self.refusals = RefusalLog(context.metrics)
        self.answers = WebhookAnswers(context, self.refusals)
        self._batcher = Batcher(self._receive, most=_BATCH_SIZE, receivers=_RECEIVERS, turns=_TURNS)

    def is_plain(self, source: str) -> bool:
        """Return whether each POST of a connection is a webhook that the core answers."""
        methods = self._context.router.owner(source).webhook_methods
        return "POST" in methods and not self.answers.has_own(source)

    def methods(self, source: str) -> tuple[str, ...]:
        """Return the methods of a connection's webhooks and challenges.

        Raises `NotFound` for a connection that is unknown or receives no webhooks.
        """
        self._require_webhooks(source)
        named = self._context.router.owner(source).webhook_methods
        return (*named, "HEAD") if "GET" in named else named

    def expect(self, source: str, headers: Mapping[str, str], correlation_id: str) -> None:
        """Check the headers of a webhook before its body is read.

        Raises `NotFound` for a connection that is unknown or receives no webhooks, and
        `BadSignature` when a header is missing.
        """
        self._require_webhooks(source)
        for name in self._context.router.owner(source).webhook_headers:
            if not headers.get(name):
                self.refusals.refused(source, correlation_id, WebhookRefusal.HEADER)
                raise BadSignature(f"the header {name} is missing")

    async def accept(
        self,
        source: str,
        request: WebhookRequest,
        correlation_id: str,
        traceparent: str | None = None,
    ) -> StoredWebhook:
        """Store the events of a webhook durably and return their numbers.

        Raises `NotFound` for an unknown connection, `BadSignature`, `InvalidInput` when the body
        is not JSON, and `Unavailable` when the sender should retry.
        """
        self._context.router.owner(source)
        return await self._batcher.submit(
            ReceivedWebhook(source, request, correlation_id, traceparent)
        )

    def _require_webhooks(self, source: str) -> None:
        if not self._context.router.implements(source, "parse_webhook"):
            raise NotFound(f"connection {source} receives no webhooks: its system is polled")

    async def _receive(
        self, webhooks: Sequence[ReceivedWebhook]
    ) -> Sequence[StoredWebhook | Exception]:
        outcomes = await self._outcomes(webhooks)
        accepted: Counter[str] = Counter()
        for webhook, outcome in zip(webhooks, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self.refusals.failed(webhook.source, webhook.correlation_id, outcome)
            else:
                accepted[webhook.source] += 1
        metrics, now = self._context.metrics, self._context.clock()
        for source, count in accepted.items():
            metrics.webhooks.labels(source, "accepted", "").inc(count)
            metrics.last_webhook.labels(source).set(now)
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
