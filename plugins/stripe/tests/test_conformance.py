"""The conformance kit of zenskar with the sandbox."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from zenskar.testing import IntegrationConformance
from zenskar_stripe import StripeIntegration
from zenskar_stripe.sandbox import StripeSandbox
from zenskar_stripe.sandbox.signing import signature

from .conftest import KEY, SECRET

CUSTOMER = {"id": "cus_1", "object": "customer", "name": "Ada", "metadata": {"zenskar_id": "rec_1"}}
SETTINGS = {"api_key": KEY, "webhook_secret": SECRET, "rate_limit": "0"}


def event(number: int, kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{number}",
        "object": "event",
        "type": kind,
        "created": 1_799_999_000,
        "livemode": False,
        "request": {"id": "req_1", "idempotency_key": "key_1"},
        "data": {"object": {**CUSTOMER, **changes}},
    }


class TestConformance(IntegrationConformance):
    """Every check of the kit."""

    sandbox: StripeSandbox
    integration = StripeIntegration
    settings = SETTINGS
    address_setting = "api_base"
    listed_objects = 101
    examples = 10
    webhooks = (
        event(1, "customer.created"),
        event(2, "customer.updated"),
        event(3, "customer.deleted", deleted=True),
        event(4, "invoice.paid", object="invoice"),
    )

    @asynccontextmanager
    async def external_system(self) -> AsyncIterator[Mapping[str, str]]:
        async with StripeSandbox(api_key=KEY) as self.sandbox:
            yield {"api_base": self.sandbox.base_url}

    async def send_webhooks_to(self, url: str) -> None:
        self.sandbox.add_webhook_endpoint(url, SECRET)

    def sign(self, body: bytes, at: int) -> Mapping[str, str]:
        return {"Stripe-Signature": signature(SECRET, at, body)}
