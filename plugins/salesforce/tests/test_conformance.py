"""The conformance kit of zenskar with the sandbox."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from zenskar.testing import IntegrationConformance
from zenskar_salesforce import SalesforceIntegration
from zenskar_salesforce.sandbox import SalesforceSandbox, settings_of

SETTINGS = {
    "client_id": "client-of-the-checks",
    "client_secret": "secret-of-the-checks",
    "domain": "https://acme.my.salesforce.com",
}


class TestConformance(IntegrationConformance):
    """Every check of the kit; Salesforce has no webhooks and no idempotency keys."""

    integration = SalesforceIntegration
    settings = SETTINGS
    address_setting = "api_base"
    examples = 10

    @asynccontextmanager
    async def external_system(self) -> AsyncIterator[Mapping[str, str]]:
        async with SalesforceSandbox() as sandbox:
            sandbox.habits.page_rows = 2
            yield {**settings_of(sandbox), "api_base": sandbox.base_url}
