"""A runtime and a local Salesforce, for tests of the whole way between both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.flow import Flow, running_worker
from tests.support.wait import until
from zenskar.runtime import open_runtime
from zenskar.settings import load
from zenskar_salesforce.sandbox import DeliveryRetries, SalesforceSandbox, settings_of

COMPOSITE, QUERY = "/services/data/v66.0/composite", "/services/data/v66.0/query"


@dataclass
class BothSides:
    """A runtime and the org at its connection."""

    flow: Flow
    org: SalesforceSandbox

    async def settle(self) -> None:
        await self.flow.settle()

    async def patch(self, record_id: str, **patch: Any) -> None:
        await self.flow.runtime.customers.patch(record_id, patch, correlation_id="test")
        await self.settle()

    def contact(self) -> dict[str, Any]:
        """Return the only living record there."""
        (only,) = self.org.living
        return only

    def creates(self) -> int:
        return self.org.writes().count("POST")

    async def field(self, record_id: str, name: str, value: Any) -> None:
        """Wait until the record has this value."""

        async def check() -> bool:
            return bool((await self.flow.record(record_id))[name] == value)

        await until(check)


@asynccontextmanager
async def both_sides(
    database_url: str, sandbox: SalesforceSandbox | None = None, **environment: str
) -> AsyncIterator[BothSides]:
    """Run both sides; by default the sandbox has contacts."""
    retries = DeliveryRetries(base=0.05)
    async with sandbox or SalesforceSandbox(message_retries=retries) as org:
        settings = settings_of(org).items()
        variables = {
            "ZENSKAR_DATABASE_URL": database_url,
            "ZENSKAR_CONNECTIONS": "salesforce",
            "ZENSKAR_RETRY_BASE_SECONDS": "0.01",
            "ZENSKAR_RETRY_MAX_SECONDS": "0.05",
            "ZENSKAR_POLL_SECONDS": "0.2",
            "SALESFORCE_POLL_SECONDS": "0.2",
            "SALESFORCE_PROPAGATE_DELETES": "true",
            **{f"SALESFORCE_{name.upper()}": text for name, text in settings},
            **environment,
        }
        loaded = load(variables)
        async with open_runtime(loaded, variables) as runtime, running_worker(runtime):
            yield BothSides(Flow(runtime, {}), org)
