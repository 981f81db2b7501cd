"""The whole runtime in this process, on a Stripe that runs elsewhere."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.support.flow import running_worker
from tests.support.wait import until
from zenskar.api.server import serve
from zenskar.plugins.discovery import Plugin
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import load
from zenskar.telemetry.tracing import Tracing

SECRET = "whsec_of_the_end_to_end_tests"
API_KEY = "sk_test_of_the_end_to_end_tests"


@dataclass
class Stack:
    """A runtime, the address of its API, and a client for it."""

    runtime: Runtime
    address: str
    http: aiohttp.ClientSession

    @property
    def webhook_url(self) -> str:
        return f"{self.address}/webhooks/stripe"

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        async with self.http.request(method, f"{self.address}{path}", json=body) as response:
            text = await response.text()
            assert response.status == status, f"{response.status}: {text}"
            return await response.json(content_type=None) if text else None

    async def create(self, **document: Any) -> dict[str, Any]:
        body = {"name": "Ada", "email": "ada@example.com", **document}
        return await self.ask("POST", "/customers", body, 201)

    async def customer(self, customer_id: str) -> dict[str, Any]:
        return await self.ask("GET", f"/customers/{customer_id}")

    async def synced(self, customer_id: str) -> dict[str, Any]:
        """Wait until the customer is equal on both sides."""

        async def check() -> dict[str, Any] | None:
            found = await self.customer(customer_id)
            (external,) = found["external"]
            return found if external["in_sync"] else None

        return await until(check)

    async def external_id(self, customer_id: str) -> str:
        (external,) = (await self.synced(customer_id))["external"]
        return str(external["external_id"])

    async def field(self, customer_id: str, name: str, value: Any) -> dict[str, Any]:
        """Wait until a field of the customer has this value."""

        async def check() -> dict[str, Any] | None:
            found = await self.customer(customer_id)
            return found if found[name] == value else None

        return await until(check)

    async def gone(self, customer_id: str) -> None:
        """Wait until the customer is deleted."""

        async def check() -> bool:
            async with self.http.get(f"{self.address}/customers/{customer_id}") as response:
                return response.status == 404

        await until(check)

    async def named(self, email: str) -> dict[str, Any]:
        """Wait until there is one customer with this address."""

        async def check() -> dict[str, Any] | None:
            found = (await self.ask("GET", f"/customers?email={email}"))["data"]
            assert len(found) <= 1
            return found[0] if found else None

        return await until(check)

    async def events(self, query: str = "") -> list[dict[str, Any]]:
        """Return the sync events, oldest first."""
        return list(reversed((await self.ask("GET", f"/sync-events?{query}"))["data"]))

    async def settled(self) -> None:
        """Wait until no message is left, and every sync event has ended.

        An accepted webhook is a message alone before it is applied.
        """

        async def check() -> bool:
            final = {"succeeded", "ignored", "dead"}
            left = sum((await self.runtime.bus.depth()).values())
            return not left and all(e["status"] in final for e in await self.events("limit=200"))

        await until(check)


@asynccontextmanager
async def open_stack(
    database_url: str,
    api_base: str,
    environment: Mapping[str, str] | None = None,
    plugins: Mapping[str, Plugin] | None = None,
    tracing: Tracing | None = None,
) -> AsyncIterator[Stack]:
    """Serve the API and run a worker, connected to this Stripe, with these plugins if given."""
    variables = {
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": api_base,
        "STRIPE_RATE_LIMIT": "0",
        "ZENSKAR_CONNECTIONS": "stripe",
        "ZENSKAR_DATABASE_URL": database_url,
        "ZENSKAR_AUTH": "off",
        "ZENSKAR_POLL_SECONDS": "0.2",
        "ZENSKAR_RETRY_MAX_ATTEMPTS": "30",
        "ZENSKAR_RETRY_BASE_SECONDS": "0.02",
        "ZENSKAR_RETRY_MAX_SECONDS": "0.1",
        **(environment or {}),
    }
    settings = load(variables)
    async with (
        open_runtime(settings, variables, plugins=plugins, tracing=tracing) as runtime,
        serve(runtime.api(), "127.0.0.1", 0, settings) as address,
        running_worker(runtime),
        aiohttp.ClientSession() as http,
    ):
        yield Stack(runtime, address, http)
