"""A customer travels both ways through the HTTP API, the worker and a local Stripe."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.stack import API_KEY, SECRET, Stack, open_stack
from tests.support.wait import until
from zenskar_stripe.sandbox import Fault, FaultKind, StripeSandbox
from zenskar_stripe.sandbox.signing import signature


@dataclass
class World:
    """Both sides."""

    zenskar: Stack
    stripe: StripeSandbox

    async def edited(self, external_id: str, name: str, value: Any) -> dict[str, Any]:
        """Wait until the customer has this value in Stripe."""

        async def check() -> dict[str, Any] | None:
            found = dict(self.stripe.dashboard.retrieve(external_id))
            return found if found.get(name) == value else None

        return await until(check)

    async def at_rest(self) -> None:
        """Wait until no work is in progress on either side."""
        await self.zenskar.settled()
        await self.stripe.settle()
        await self.zenskar.settled()

    def creates(self) -> list[str]:
        return [
            call.idempotency_key or ""
            for call in self.stripe.requests
            if (call.method, call.path) == ("POST", "/v1/customers")
        ]


@asynccontextmanager
async def open_world(database_url: str, **environment: str) -> AsyncIterator[World]:
    async with (
        StripeSandbox(api_key=API_KEY, webhook_retry_base=0.05) as stripe,
        open_stack(database_url, stripe.base_url, environment) as zenskar,
    ):
        stripe.add_webhook_endpoint(zenskar.webhook_url, SECRET)
        yield World(zenskar, stripe)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with open_world(database_url) as world:
        yield world


async def test_a_customer_goes_there_and_comes_back(world: World) -> None:
    address = {"line1": "1 Main St", "city": "London", "country": "GB"}
    made = await world.zenskar.create(address=address, metadata={"plan": "pro"})
    external_id = await world.zenskar.external_id(made["id"])
    theirs = world.stripe.dashboard.retrieve(external_id)
    assert (theirs["name"], theirs["email"]) == ("Ada", "ada@example.com")
    assert theirs["address"]["city"] == "London"
    assert theirs["metadata"]["plan"] == "pro"

    world.stripe.dashboard.update(external_id, {"email": "ada@new.example", "phone": "+44 20"})
    ours = await world.zenskar.field(made["id"], "email", "ada@new.example")
    assert (ours["phone"], ours["version"], ours["name"]) == ("+44 20", 2, "Ada")
    assert ours["metadata"] == {"plan": "pro"}

    await world.zenskar.ask("PATCH", f"/customers/{made['id']}", {"name": "Ada King"})
    theirs = await world.edited(external_id, "name", "Ada King")
    assert theirs["email"] == "ada@new.example"

    await world.zenskar.ask("PATCH", f"/customers/{made['id']}", {"phone": None})
    await world.edited(external_id, "phone", None)
    await world.at_rest()
    ours = await world.zenskar.synced(made["id"])
    assert ours["version"] == 4
    assert len(world.creates()) == 1


async def test_a_customer_made_in_the_dashboard_appears_once(world: World) -> None:
    world.stripe.faults.add(Fault(kind=FaultKind.WEBHOOK_DUPLICATE, copies=3))
    theirs = world.stripe.dashboard.create({"name": "Grace", "email": "grace@example.com"})
    ours = await world.zenskar.named("grace@example.com")
    await world.at_rest()
    assert (await world.zenskar.named("grace@example.com"))["id"] == ours["id"]
    assert await world.zenskar.external_id(ours["id"]) == theirs["id"]
    assert len(await webhooks(world)) == 1
    assert world.creates() == []


async def test_the_history_tells_what_changed_and_an_echo_changes_nothing(world: World) -> None:
    made = await world.zenskar.create()
    external_id = await world.zenskar.external_id(made["id"])
    world.stripe.dashboard.update(external_id, {"name": "Countess"})
    await world.zenskar.field(made["id"], "name", "Countess")
    await world.at_rest()
    found = await world.zenskar.events(f"customer_id={made['id']}")
    # Only a fetch distinguishes two edits within one second of Stripe's clock.
    told = [e for e in found if e["event_type"] != "customer.resync"]
    assert [(e["direction"], e["event_type"]) for e in told] == [
        ("outbound", "customer.created"),
        ("inbound", "customer.created"),
        ("inbound", "customer.updated"),
    ]
    assert [told[n]["status"] for n in (0, 2)] == ["succeeded", "succeeded"]
    assert told[0]["reason"] == "pushed"
    # A webhook that overtakes the answer of its create links the object, and is no echo.
    assert told[1]["reason"] in {"echo", "linked"}, told[1]
    assert {"/name": "Countess"} in [
        entry["detail"].get("changes")
        for event in found[1:]
        for entry in (await world.zenskar.ask("GET", f"/sync-events/{event['id']}"))["history"]
    ]
    assert len(world.creates()) == 1


async def test_a_delete_in_the_dashboard_deletes_and_nothing_revives_it(world: World) -> None:
    made = await world.zenskar.create()
    external_id = await world.zenskar.external_id(made["id"])
    world.stripe.dashboard.delete(external_id)
    await world.zenskar.gone(made["id"])
    await world.at_rest()
    assert world.stripe.dashboard.retrieve(external_id)["deleted"] is True
    assert len(world.creates()) == 1


async def test_a_delete_stays_here_unless_it_may_travel(world: World) -> None:
    made = await world.zenskar.create()
    external_id = await world.zenskar.external_id(made["id"])
    await world.zenskar.ask("DELETE", f"/customers/{made['id']}", status=204)
    await world.at_rest()
    assert "deleted" not in world.stripe.dashboard.retrieve(external_id)
    world.stripe.dashboard.update(external_id, {"name": "Still there"})
    await world.at_rest()
    await world.zenskar.gone(made["id"])


async def test_a_delete_travels_where_that_is_wanted(database_url: str) -> None:
    async with open_world(database_url, STRIPE_PROPAGATE_DELETES="true") as world:
        made = await world.zenskar.create()
        external_id = await world.zenskar.external_id(made["id"])
        await world.zenskar.ask("DELETE", f"/customers/{made['id']}", status=204)
        await world.edited(external_id, "deleted", value=True)
        await world.at_rest()
        await world.zenskar.gone(made["id"])


def fault(kind: FaultKind, **options: Any) -> Any:
    name = f"{kind}{'_after_effect' if options.get('effect') else ''}"
    made = Fault(kind=kind, method="POST", path_prefix="/v1/customers", **options)
    return pytest.param(made, id=name)


@pytest.mark.parametrize(
    "fault",
    [
        fault(FaultKind.DROP_ANSWER),
        fault(FaultKind.DROP_REQUEST),
        fault(FaultKind.SERVER_ERROR),
        fault(FaultKind.SERVER_ERROR, effect=True),
        fault(FaultKind.TRUNCATE),
        fault(FaultKind.RATE_LIMITED),
        fault(FaultKind.ZOMBIE, delay_seconds=0.3),
    ],
)
async def test_a_fault_during_a_create_makes_one_customer(world: World, fault: Fault) -> None:
    world.stripe.faults.add(fault)
    made = await world.zenskar.create()
    await world.at_rest()
    (outbound,) = await world.zenskar.events("direction=outbound")
    assert outbound["status"] == "succeeded"
    ours = await world.zenskar.synced(made["id"])
    page = await listed(world)
    assert [customer["id"] for customer in page] == [ours["external"][0]["external_id"]]


async def test_webhooks_out_of_order_end_in_the_newest_state(world: World) -> None:
    made = await world.zenskar.create()
    external_id = await world.zenskar.external_id(made["id"])
    await world.at_rest()
    world.stripe.faults.add(Fault(kind=FaultKind.WEBHOOK_REORDER, size=3, delay_seconds=0.1))
    for name in ("First", "Second", "Third"):
        world.stripe.dashboard.update(external_id, {"name": name})
    await world.zenskar.field(made["id"], "name", "Third")
    await world.at_rest()
    assert (await world.zenskar.synced(made["id"]))["name"] == "Third"
    assert world.stripe.dashboard.retrieve(external_id)["name"] == "Third"


async def test_both_sides_edit_at_once_and_agree_afterwards(world: World) -> None:
    made = await world.zenskar.create()
    external_id = await world.zenskar.external_id(made["id"])
    await world.at_rest()
    world.stripe.dashboard.update(external_id, {"name": "Theirs", "phone": "+1 555"})
    await world.zenskar.ask("PATCH", f"/customers/{made['id']}", {"email": "ours@example.com"})
    await world.at_rest()
    ours = await world.zenskar.synced(made["id"])
    theirs = world.stripe.dashboard.retrieve(external_id)
    assert (ours["name"], ours["email"], ours["phone"]) == ("Theirs", "ours@example.com", "+1 555")
    assert (theirs["name"], theirs["email"]) == ("Theirs", "ours@example.com")


async def test_a_key_that_is_refused_pauses_and_a_resume_goes_on(database_url: str) -> None:
    async with (
        StripeSandbox(api_key="sk_test_another_key") as stripe,
        open_stack(database_url, stripe.base_url) as zenskar,
    ):
        made = await zenskar.create()

        async def paused() -> bool:
            (connection,) = (await zenskar.ask("GET", "/connections"))["data"]
            return bool(connection["state"] == "paused")

        await until(paused)
        (event,) = await zenskar.events()
        assert event["status"] == "pending"
        assert (await zenskar.customer(made["id"]))["external"][0]["state"] == "pending"


def signed(body: bytes, *, late: int = 0, secret: str = SECRET) -> str:
    return signature(secret, int(time.time()) - late, body)


REFUSED: dict[str, Callable[[bytes], str | None]] = {
    "missing": lambda _: None,
    "bad": lambda _: "t=1,v1=00",
    "old": lambda body: signed(body, late=400),
    "future": lambda body: signed(body, late=-400),
    "of another body": lambda body: signed(body + b" "),
    "of another secret": lambda body: signed(body, secret="whsec_other"),
}


async def deliver(world: World, body: bytes, header: str | None) -> int:
    """Send a webhook; return the status of the answer."""
    headers = {"Content-Type": "application/json"}
    headers |= {} if header is None else {"Stripe-Signature": header}
    url = world.zenskar.webhook_url
    async with world.zenskar.http.post(url, data=body, headers=headers) as response:
        return response.status


def event(**changes: Any) -> bytes:
    customer = {"id": "cus_1", "object": "customer", "email": "ada@example.com", "metadata": {}}
    body = {"id": "evt_1", "object": "event", "type": "customer.created"}
    body |= {"created": int(time.time()), "data": {"object": customer}, **changes}
    return json.dumps(body).encode()


@pytest.mark.parametrize("sign", REFUSED.values(), ids=REFUSED)
async def test_a_webhook_that_was_not_signed_for_now_is_refused(
    world: World, sign: Callable[[bytes], str | None]
) -> None:
    body = event()
    assert await deliver(world, body, sign(body)) == 400
    assert await webhooks(world) == []
    assert await deliver(world, body, signed(body)) == 200
    await world.zenskar.named("ada@example.com")


async def test_what_is_no_json_is_400_though_it_is_signed(world: World) -> None:
    rubbish = {
        "deep and cut": event(data="DEEP").replace(b'"DEEP"', b"[" * 50_000 + b"]" * 49_999),
        "not UTF-8": event(id="IT").replace(b"IT", b"\xff\xfe"),
        "NaN": event(created=float("nan")),
    }
    found = {what: await deliver(world, body, signed(body)) for what, body in rubbish.items()}
    assert found == dict.fromkeys(rubbish, 400)
    assert await webhooks(world) == []
    body = event()
    assert await deliver(world, body, signed(body)) == 200
    await world.zenskar.named("ada@example.com")


async def test_what_is_signed_is_kept_though_it_is_no_event(world: World) -> None:
    odd = {
        "array": b"[]",
        "array of events": b"[" + event() + b"]",
        "text": b'"evt_1"',
        "null": b"null",
        "number as id": event(id=7),
        "huge integer": event(created="HUGE").replace(b'"HUGE"', b"9" * 6000),
        "huge integer as time": event(created=10**400),
        "huge real": event(unread="HUGE").replace(b'"HUGE"', b"1e400"),
        "deep": event(data="DEEP").replace(b'"DEEP"', b"[" * 50_000 + b"]" * 50_000),
        "customer without id": event(data={"object": {"object": "customer"}}),
    }
    found = {what: await deliver(world, body, signed(body)) for what, body in odd.items()}
    assert found == dict.fromkeys(odd, 200)
    dead = await world.zenskar.events("direction=inbound&status=dead")
    assert [each["reason"] for each in dead] == ["invalid_webhook"] * len(odd)
    assert await webhooks(world) == []


async def test_characters_that_cannot_be_stored_stop_no_event(world: World) -> None:
    bodies = [event(id="evt_\0"), event(id="evt_2", type="customer.\ud800")]
    assert [await deliver(world, body, signed(body)) for body in bodies] == [200, 200]
    await world.zenskar.named("ada@example.com")


async def webhooks(world: World) -> list[dict[str, Any]]:
    """Return the inbound events of webhooks, without those of a sweep."""
    found = await world.zenskar.events("direction=inbound")
    return [event for event in found if str(event["external_event_id"]).startswith("evt_")]


async def listed(world: World) -> list[dict[str, Any]]:
    """Read all customers from Stripe itself."""
    async with world.zenskar.http.get(
        f"{world.stripe.base_url}/v1/customers", headers={"Authorization": f"Bearer {API_KEY}"}
    ) as response:
        found: list[dict[str, Any]] = (await response.json())["data"]
        return found
