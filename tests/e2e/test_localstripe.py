"""The same round trip against localstripe, a Stripe that this project did not write.

localstripe ignores idempotency keys, sends its webhooks a second late, and signs them with the time
of their event.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.e2e.stack import API_KEY, SECRET, Stack, open_stack
from tests.support.wait import until

pytestmark = pytest.mark.peer

# localstripe would write its state to one file for the whole machine, which no test reads.
START = (
    "from localstripe import resources, server; "
    "resources.Store.dump_to_disk = lambda store: None; "
    "server.start()"
)


@dataclass
class LocalStripe:
    """A running localstripe, and its customers through its API."""

    base_url: str
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> Any:
        async with self.http.request(
            method,
            f"{self.base_url}{path}",
            data=form,
            headers={"Authorization": f"Bearer {API_KEY}"},
        ) as response:
            return await response.json()

    async def customers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask("GET", "/v1/customers"))["data"]
        return found

    async def send_webhooks_to(self, url: str) -> None:
        body = {"url": url, "secret": SECRET}
        async with self.http.post(f"{self.base_url}/_config/webhooks/1", json=body) as response:
            assert response.status == 200

    async def answers(self) -> bool:
        try:
            return bool(await self.ask("GET", "/v1/customers"))
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def open_localstripe() -> AsyncIterator[LocalStripe]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START, "--from-scratch", "--port", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
    )
    try:
        async with aiohttp.ClientSession() as http:
            stripe = LocalStripe(f"http://127.0.0.1:{port}", http)
            await until(stripe.answers)
            yield stripe
    finally:
        process.terminate()
        await process.wait()


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as held:
        held.bind(("::", 0))
        return int(held.getsockname()[1])


@pytest.fixture
async def stripe() -> AsyncIterator[LocalStripe]:
    async with open_localstripe() as stripe:
        yield stripe


@pytest.fixture
async def zenskar(stripe: LocalStripe, database_url: str) -> AsyncIterator[Stack]:
    wanted = {"STRIPE_PROPAGATE_DELETES": "true"}
    async with open_stack(database_url, stripe.base_url, wanted) as zenskar:
        await stripe.send_webhooks_to(zenskar.webhook_url)
        yield zenskar


async def test_a_customer_goes_there_and_comes_back(stripe: LocalStripe, zenskar: Stack) -> None:
    made = await zenskar.create(address={"city": "London"}, metadata={"plan": "pro"})
    external_id = await zenskar.external_id(made["id"])
    (theirs,) = await stripe.customers()
    assert (theirs["id"], theirs["name"]) == (external_id, "Ada")
    assert (theirs["address"]["city"], theirs["metadata"]["plan"]) == ("London", "pro")

    await stripe.ask("POST", f"/v1/customers/{external_id}", {"email": "ada@new.example"})
    ours = await zenskar.field(made["id"], "email", "ada@new.example")
    assert (ours["name"], ours["metadata"]) == ("Ada", {"plan": "pro"})

    await zenskar.ask("PATCH", f"/customers/{made['id']}", {"name": "Ada King"})

    async def renamed() -> bool:
        return (await stripe.customers())[0]["name"] == "Ada King"

    await until(renamed)
    await zenskar.synced(made["id"])


async def test_a_customer_made_there_appears_here(stripe: LocalStripe, zenskar: Stack) -> None:
    theirs = await stripe.ask("POST", "/v1/customers", {"name": "Grace", "email": "g@example.com"})
    ours = await zenskar.named("g@example.com")
    assert ours["name"] == "Grace"
    assert await zenskar.external_id(ours["id"]) == theirs["id"]
    assert len(await stripe.customers()) == 1


async def test_deletes_travel_both_ways(stripe: LocalStripe, zenskar: Stack) -> None:
    first, second = await zenskar.create(), await zenskar.create(email="two@example.com")
    external_id = await zenskar.external_id(first["id"])
    await zenskar.synced(second["id"])
    await stripe.ask("DELETE", f"/v1/customers/{external_id}")
    await zenskar.gone(first["id"])
    await zenskar.ask("DELETE", f"/customers/{second['id']}", status=204)

    async def empty() -> bool:
        return await stripe.customers() == []

    await until(empty)
    await zenskar.settled()
    await zenskar.gone(second["id"])
