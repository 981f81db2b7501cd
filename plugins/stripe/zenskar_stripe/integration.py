"""The integration with Stripe: the hooks that the core calls."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from zenskar import (
    BaseIntegration,
    Change,
    Changes,
    Connection,
    ExternalObject,
    Failure,
    Health,
    IntentKind,
    Page,
    Push,
    PushResult,
    SandboxInfo,
    Setting,
    WebhookEvent,
    WebhookRequest,
)
from zenskar_stripe import account, customers, feed, lookup, webhooks
from zenskar_stripe.client import Answer, StripeApi
from zenskar_stripe.config import SETTINGS, Config
from zenskar_stripe.failures import classify


class StripeIntegration(BaseIntegration):
    """An integration with one Stripe account."""

    entities: ClassVar[tuple[str, ...]] = (customers.ENTITY,)
    settings: ClassVar[tuple[Setting, ...]] = SETTINGS
    webhook_headers: ClassVar[tuple[str, ...]] = (webhooks.HEADER,)
    # Stripe keeps keys for at least 24 hours: https://docs.stripe.com/api/idempotent_requests.
    idempotency_key_lifetime: ClassVar[timedelta | None] = timedelta(hours=23)

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._config = Config.of(connection)
        self._opened: StripeApi | None = None

    @property
    def _api(self) -> StripeApi:
        if self._opened is None:
            raise RuntimeError("the integration is not open")
        return self._opened

    async def open(self) -> None:
        """Build the client."""
        self._opened = StripeApi(self._config)

    async def close(self) -> None:
        """Close the client's connections."""
        api, self._opened = self._opened, None
        if api is not None:
            await api.close()

    async def health(self) -> Health:
        """Return ok when Stripe answers and the key may read customers."""
        try:
            answer = await self._api.list_customers({"limit": 1})
        except Exception as error:
            failure = classify(error)
            if failure is None:
                raise
            return Health(ok=False, detail=failure.message)
        return Health(ok=True, detail="Stripe answers", answered_at=answer.at)

    async def account(self) -> str | None:
        """Return the account and the mode of the key."""
        return await account.name(self._api, self._config)

    def verify_webhook(self, request: WebhookRequest) -> None:
        """Raise `BadSignature` unless Stripe signed exactly these bytes just now."""
        webhooks.verify(request, self._config.webhook_secrets)

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Return the event of a webhook."""
        return [webhooks.event(body, self._config, sent_at=webhooks.sent_at(request))]

    async def changes(self, checkpoint: str | None) -> Changes:
        """Return events whose webhooks were not delivered."""
        return await feed.changes(self._api, checkpoint)

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical document of a customer."""
        return customers.to_canonical(seen.data or {})

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the parameters of the call that makes the change."""
        return customers.from_canonical(change)

    async def push(self, push: Push) -> PushResult:
        """Create, update or delete a customer."""
        answer = await self._send(push)
        return PushResult(customers.seen(answer.data, answer.at), answer.replayed)

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:  # noqa: ARG002
        """Return a customer; a stub proves the delete, a 404 proves nothing."""
        answer = await self._api.retrieve_customer(external_id)
        return customers.seen(answer.data, answer.at)

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:  # noqa: ARG002
        """Return the customer whose metadata holds this record's id."""
        return await lookup.find(self._api, record_id)

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # noqa: ARG002
        """Return 100 customers, newest first."""
        return await lookup.list_page(self._api, cursor)

    def classify_error(self, error: Exception) -> Failure | None:
        """Classify the errors of Stripe, of its SDK and of the network."""
        return classify(error) or super().classify_error(error)

    @classmethod
    def sandbox(
        cls, data_dir: Path, webhook_url: str
    ) -> AbstractAsyncContextManager[SandboxInfo] | None:
        """Return a local Stripe that keeps its customers and its credentials in `data_dir`."""
        from zenskar_stripe.local import run_sandbox

        return run_sandbox(data_dir, webhook_url)

    async def _send(self, push: Push) -> Answer:
        if push.kind is IntentKind.CREATE:
            return await self._api.create_customer(push.body, push.idempotency_key)
        if push.external_id is None:
            raise ValueError(f"a push of kind {push.kind} needs an external id")
        if push.kind is IntentKind.UPDATE:
            key = push.idempotency_key
            return await self._api.update_customer(push.external_id, push.body, key)
        return await self._api.delete_customer(push.external_id)
