"""Edits in Stripe arrive with any two clocks, without a further call when the clocks agree."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.e2e.stack import API_KEY, SECRET, Stack, open_stack
from zenskar_stripe.sandbox import StripeSandbox


@dataclass
class World:
    """Both sides."""

    zenskar: Stack
    stripe: StripeSandbox

    async def at_rest(self) -> None:
        await self.zenskar.settled()
        await self.stripe.settle()
        await self.zenskar.settled()

    def reads(self, external_id: str) -> int:
        path = f"/v1/customers/{external_id}"
        return sum((c.method, c.path) == ("GET", path) for c in self.stripe.requests)


@asynccontextmanager
async def open_world(database_url: str, ahead: float = 0.0) -> AsyncIterator[World]:
    """Open both sides, with our clock so many seconds ahead."""
    async with StripeSandbox(api_key=API_KEY, webhook_retry_base=0.05) as stripe:
        stripe.shift_clock(-ahead)
        async with open_stack(database_url, stripe.base_url) as zenskar:
            stripe.add_webhook_endpoint(zenskar.webhook_url, SECRET)
            yield World(zenskar, stripe)


@pytest.mark.parametrize("ahead", [5, 60, 200, -5, -60, -200])
async def test_an_edit_arrives_whatever_our_clock_shows(database_url: str, ahead: float) -> None:
    async with open_world(database_url, ahead) as world:
        made = await world.zenskar.create()
        external_id = await world.zenskar.external_id(made["id"])
        await world.at_rest()
        world.stripe.dashboard.update(external_id, {"name": "Eve"})
        await world.zenskar.field(made["id"], "name", "Eve")
        await world.at_rest()
        assert (await world.zenskar.synced(made["id"]))["name"] == "Eve"


@pytest.mark.parametrize("step", [-4, -10, -60, -200, 60, 200])
async def test_an_edit_arrives_after_the_external_clock_was_set(
    database_url: str, step: float
) -> None:
    async with open_world(database_url) as world:
        made = await world.zenskar.create()
        external_id = await world.zenskar.external_id(made["id"])
        await world.at_rest()
        world.stripe.shift_clock(step)
        for name in ("Eve", "Ida"):
            world.stripe.dashboard.update(external_id, {"name": name})
            await world.zenskar.field(made["id"], "name", name)
            await world.at_rest()
        assert (await world.zenskar.synced(made["id"]))["name"] == "Ida"


@pytest.mark.parametrize("ahead", [0, 60, -60])
async def test_an_edit_some_time_after_a_push_costs_no_call(
    database_url: str, ahead: float
) -> None:
    async with open_world(database_url, ahead) as world:
        made = await world.zenskar.create()
        external_id = await world.zenskar.external_id(made["id"])
        await world.at_rest()
        for number in range(5):
            world.stripe.shift_clock(10 + 2 * number - ahead)
            world.stripe.dashboard.update(external_id, {"name": f"Eve {number}"})
            await world.zenskar.field(made["id"], "name", f"Eve {number}")
        await world.at_rest()
        assert world.reads(external_id) == 0
