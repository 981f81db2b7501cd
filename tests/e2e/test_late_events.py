"""Old events of unknown customers: resent, retried, or delayed."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.stack import API_KEY, SECRET, open_stack
from tests.e2e.test_clocks import World
from tests.support.wait import until
from zenskar.ops.explain.explainer import explain
from zenskar.ops.explain.words import title
from zenskar_stripe.sandbox import Fault, FaultKind, StripeSandbox
from zenskar_stripe.sandbox.signing import signature

MONTH = 30 * 86_400


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Both sides, without automatic webhooks."""
    async with (
        StripeSandbox(api_key=API_KEY) as stripe,
        open_stack(database_url, stripe.base_url) as zenskar,
    ):
        yield World(zenskar, stripe)


async def send(
    world: World, action: str, customer: dict[str, Any], age: float, name: str = "evt_old"
) -> None:
    """Send an event from so many seconds ago, signed now."""
    event = {
        "id": name,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time() - age),
        "livemode": False,
        "type": f"customer.{action}",
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": customer},
    }
    body = json.dumps(event).encode()
    headers = {"Stripe-Signature": signature(SECRET, int(time.time()), body)}
    async with world.zenskar.http.post(
        world.zenskar.webhook_url, data=body, headers=headers
    ) as response:
        assert response.status == 200

    async def applied() -> bool:
        inbound = await world.zenskar.events("direction=inbound")
        return any(event["external_event_id"] == name for event in inbound)

    await until(applied)
    await world.zenskar.settled()


async def test_first_sight_by_an_old_event_shows_the_present_state(world: World) -> None:
    old = dict(world.stripe.dashboard.create({"name": "Ada", "email": "ada@old.example"}))
    world.stripe.dashboard.update(old["id"], {"name": "Eve", "email": "eve@new.example"})
    await send(world, "updated", old, MONTH)
    found = await world.zenskar.named("eve@new.example")
    assert (found["name"], found["external"][0]["in_sync"]) == ("Eve", True)
    told = await explain(world.zenskar.runtime.engine, found["id"])
    lines = [title(step) for step in told.steps]
    assert [line for line in lines if "fetched first" in line]
    assert [line for line in lines if "a record was created" in line]
    assert world.reads(old["id"]) == 1


@pytest.mark.parametrize("action", ["created", "updated"])
async def test_an_old_event_revives_nobody(world: World, action: str) -> None:
    old = dict(world.stripe.dashboard.create({"name": "Ada", "email": "ada@old.example"}))
    world.stripe.dashboard.delete(old["id"])
    await send(world, action, old, MONTH)
    assert (await world.zenskar.ask("GET", "/customers"))["data"] == []
    await send(world, action, old, 0, "evt_new")
    assert (await world.zenskar.ask("GET", "/customers"))["data"] == []


async def test_an_old_event_of_a_customer_that_stripe_does_not_show_makes_nothing(
    world: World,
) -> None:
    old = dict(world.stripe.dashboard.create({"name": "Ada", "email": "ada@old.example"}))
    await send(world, "updated", {**old, "id": "cus_elsewhere"}, MONTH)
    assert (await world.zenskar.ask("GET", "/customers"))["data"] == []
    told = [(e["event_type"], e["status"], e["reason"]) for e in await world.zenskar.events()]
    assert told == [
        ("customer.updated", "succeeded", "late"),
        ("customer.look", "ignored", "not_visible"),
    ]


async def test_a_recent_event_needs_no_look(world: World) -> None:
    old = dict(world.stripe.dashboard.create({"name": "Ada", "email": "ada@old.example"}))
    await send(world, "created", old, 60)
    assert (await world.zenskar.named("ada@old.example"))["name"] == "Ada"
    assert world.reads(old["id"]) == 0


async def test_an_old_event_of_a_known_customer_ends_with_the_present_state(world: World) -> None:
    old = dict(world.stripe.dashboard.create({"name": "Ada", "email": "ada@example.com"}))
    await send(world, "created", old, MONTH)
    known = await world.zenskar.named("ada@example.com")
    world.stripe.dashboard.update(old["id"], {"name": "Eve"})
    world.stripe.shift_clock(MONTH)
    await send(world, "updated", {**old, "name": "Ida"}, MONTH - 60, "evt_missed")
    found = await world.zenskar.field(known["id"], "name", "Ada")
    await send(world, "updated", {**old, "name": "Ida"}, -MONTH + 1000, "evt_future")
    found = await world.zenskar.field(known["id"], "name", "Eve")
    assert found["external"][0]["in_sync"]


async def test_a_look_that_fails_is_tried_again(world: World) -> None:
    old = dict(world.stripe.dashboard.create({"name": "Ada", "email": "ada@old.example"}))
    here = f"/v1/customers/{old['id']}"
    world.stripe.faults.add(Fault(kind=FaultKind.SERVER_ERROR, path_prefix=here, count=3))
    await send(world, "created", old, MONTH)
    assert (await world.zenskar.named("ada@old.example"))["name"] == "Ada"
    assert world.reads(old["id"]) == 4


async def test_a_look_that_was_given_up_can_be_retried(world: World) -> None:
    old = dict(world.stripe.dashboard.create({"name": "Ada", "email": "ada@old.example"}))
    here = f"/v1/customers/{old['id']}"
    world.stripe.faults.add(Fault(kind=FaultKind.SERVER_ERROR, path_prefix=here, count=100))
    await send(world, "created", old, MONTH)

    async def dead() -> str | None:
        events = await world.zenskar.events("status=dead")
        return str(events[0]["id"]) if events else None

    look = await until(dead)
    world.stripe.faults.clear()
    await world.zenskar.ask("POST", f"/sync-events/{look}/retry", status=202)
    assert (await world.zenskar.named("ada@old.example"))["name"] == "Ada"
