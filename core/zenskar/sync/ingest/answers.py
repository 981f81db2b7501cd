"""Ask integrations for their own answers to webhooks and challenges."""

from typing import Any

from zenskar.model.integration import WebhookAnswer, WebhookRequest
from zenskar.sync.context import SyncContext
from zenskar.sync.event_reader import ReceivedWebhook, report
from zenskar.sync.ingest.refusals import RefusalLog, refusal
from zenskar.sync.ingest.store import StoredWebhook

_HOOKS = ("answer_challenge", "answer_webhook")


class WebhookAnswers:
    """The answers that are not the core's; an integration without them costs nothing."""

    def __init__(self, context: SyncContext, refusals: RefusalLog) -> None:
        self._router = context.router
        self._refusals = refusals
        self._count = context.metrics.webhooks
        self._own = {
            (source, hook)
            for source in context.connections
            for hook in _HOOKS
            if context.router.implements(source, hook)
        }

    def has_own(self, source: str) -> bool:
        """Return whether the integration of a connection answers itself."""
        return any((source, hook) in self._own for hook in _HOOKS)

    def challenge(self, webhook: ReceivedWebhook) -> WebhookAnswer | None:
        """Return the answer to a challenge, None for any other request.

        Raises `InvalidInput` when the integration refuses the challenge, and `Unavailable` when it
        fails.
        """
        source, request, correlation_id, _ = webhook
        if (source, "answer_challenge") not in self._own:
            return None
        try:
            answer = self._call(source, "answer_challenge", request=request)
        except Exception as error:
            refused = refusal("answer_challenge", source, correlation_id, error)
            self._refusals.failed(source, correlation_id, refused)
            raise refused from error
        if answer is not None:
            self._count.labels(source, "challenge", "").inc()
        return answer

    def answer(self, webhook: ReceivedWebhook, stored: StoredWebhook) -> WebhookAnswer | None:
        """Return the integration's answer to a webhook, None when it has none or has failed."""
        source, request, correlation_id, _ = webhook
        if (source, "answer_webhook") not in self._own:
            return None
        try:
            return self._call(
                source,
                "answer_webhook",
                request=request,
                accepted=stored.accepted,
                dead=stored.dead,
            )
        except Exception as error:  # noqa: BLE001 - the events are durable all the same
            report("answer_webhook", source, correlation_id, error)
            return None

    def _call(
        self, source: str, hook: str, request: WebhookRequest, **numbers: int
    ) -> WebhookAnswer | None:
        answer: Any = self._router.call(source, hook, request=request, **numbers)
        if answer is None or isinstance(answer, WebhookAnswer):
            return answer
        raise TypeError(f"{hook} has to return a WebhookAnswer or None")
