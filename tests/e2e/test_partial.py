"""Stripe beside a system that holds only a name and an e-mail, with the same customers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.stack import API_KEY, SECRET, Stack, open_stack
from tests.support.fake import FakeSystem, fake_class
from tests.support.wait import until
from zenskar.plugins.discovery import Plugin, discover
from zenskar_stripe.sandbox import StripeSandbox

HELD = ("name", "email")
REST: dict[str, Any] = {
    "phone": "+49 1",
    "address": {"line1": "Weg 1", "city": "Bonn", "country": "DE"},
    "metadata": {"plan": "pro"},
}
MANY = 5


@dataclass
class World:
    """Both systems, and zenskar between them."""

    zenskar: Stack
    stripe: StripeSandbox
    crm: FakeSystem

    async def at_rest(self) -> None:
        """Wait until no webhook and no push is left."""

        async def check() -> bool:
            await self.zenskar.settled()
            await self.stripe.settle()
            while self.crm.webhooks:
                request = self.crm.webhooks.pop(0)
                await self.zenskar.runtime.ingress.accept("crm", request, "test")
            await self.zenskar.settled()
            return not self.crm.webhooks and all(map(_in_sync, await self.customers()))

        await until(check)

    async def customers(self) -> list[dict[str, Any]]:
        return list((await self.zenskar.ask("GET", "/customers?limit=100"))["data"])

    def external_id(self, customer: Mapping[str, Any], source: str) -> str:
        (found,) = [e for e in customer["external"] if e["source_system"] == source]
        return str(found["external_id"])


def _in_sync(customer: Mapping[str, Any]) -> bool:
    return all(each["in_sync"] for each in customer["external"]) and len(customer["external"]) == 2


@asynccontextmanager
async def open_world(
    database_url: str, carries: Mapping[str, tuple[str, ...]]
) -> AsyncIterator[World]:
    crm = FakeSystem(holds=HELD, carries=carries)
    plugins = discover() | {"crm": Plugin("crm", "test-crm", "1", fake_class(crm))}
    connections = {"ZENSKAR_CONNECTIONS": "stripe,crm"}
    async with (
        StripeSandbox(api_key=API_KEY, webhook_retry_base=0.05) as stripe,
        open_stack(database_url, stripe.base_url, connections, plugins) as zenskar,
    ):
        stripe.add_webhook_endpoint(zenskar.webhook_url, SECRET)
        yield World(zenskar, stripe, crm)


@pytest.mark.parametrize("carries", [{}, {"customer": HELD}], ids=["not declared", "declared"])
async def test_nothing_is_erased_anywhere(
    database_url: str, carries: Mapping[str, tuple[str, ...]]
) -> None:
    async with open_world(database_url, carries) as world:
        for number in range(MANY):
            await world.zenskar.create(name=f"here {number}", **REST)
            shared = {"name": f"stripe {number}", "email": "s@example.com"}
            world.stripe.dashboard.create(shared | REST)
            world.crm.create(name=f"crm {number}", email="c@example.com")
        await world.at_rest()
        assert len(await world.customers()) == 3 * MANY
        for customer in await world.customers():
            external_id = world.external_id(customer, "crm")
            world.crm.edit(external_id, name=f"{customer['name']}, edited")
            world.crm.shift(3)
        await world.at_rest()
        for customer in await world.customers():
            rest = REST if not customer["name"].startswith("crm") else {}
            _equal(world, customer, rest)
            await world.zenskar.ask("PATCH", f"/customers/{customer['id']}", {"phone": "+49 2"})
        await world.at_rest()
        for customer in await world.customers():
            assert customer["name"].endswith(", edited")
            rest = REST if not customer["name"].startswith("crm") else {}
            _equal(world, customer, rest | {"phone": "+49 2"})
        assert not await world.zenskar.events("status=dead")


def _equal(world: World, customer: Mapping[str, Any], rest: Mapping[str, Any]) -> None:
    """Check that the record and Stripe hold the rest, and all three the name and e-mail."""
    theirs = dict(world.stripe.dashboard.retrieve(world.external_id(customer, "stripe")))
    held = world.crm.objects[world.external_id(customer, "crm")]
    assert held is not None
    shared = {name: customer[name] for name in HELD}
    assert {name: held.get(name) for name in HELD} == shared
    assert {name: theirs[name] for name in HELD} == shared
    for one in (customer, theirs):
        assert one["phone"] == rest.get("phone")
        assert one["metadata"].get("plan") == rest.get("metadata", {}).get("plan")
        assert (one["address"] or {}).get("city") == rest.get("address", {}).get("city")
