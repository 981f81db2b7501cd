"""The template plugin as an installed distribution, through the whole runtime, both ways."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from plugins.template.tests.crm import Crm
from tests.support.flow import DEADLINE_SECONDS, Flow, running_worker
from zenskar.api.server import serve
from zenskar.http.lookalike import DeliveryRetries, Fault, FaultKind, Record, SignedWebhook
from zenskar.plugins.discovery import discover
from zenskar.runtime import open_runtime
from zenskar.settings import load

FULL = {
    "phone": "+91 20 1234",
    "address": {"line1": "1 Main Road", "city": "Pune", "country": "IN"},
    "metadata": {"tier": "gold"},
}


@dataclass
class Synced:
    """A runtime with the installed plugin, its HTTP API, and the CRM at each connection."""

    flow: Flow
    crms: Mapping[str, Crm]
    address: str

    @property
    def crm(self) -> Crm:
        (only,) = self.crms.values()
        return only

    def contact(self) -> Record:
        (only,) = self.crm.contacts.values()
        return only

    def writes(self) -> list[str]:
        """The methods of the writing calls, in order."""
        return [call.method for call in self.crm.requests if call.method != "GET"]

    def calls(self) -> list[str]:
        """The method and the path of every call."""
        return [f"{call.method} {call.path}" for call in self.crm.requests]

    def lose_an_answer(self, *, webhooks: bool) -> None:
        """Lose the answer of the next write, and all webhooks on request."""
        for method in ("POST", "PATCH"):
            self.crm.faults.add(Fault(kind=FaultKind.DROP_ANSWER, method=method))
        for endpoint in () if webhooks else self.crm.webhook_endpoints():
            self.crm.remove_webhook_endpoint(endpoint.id)

    async def settle(self) -> None:
        """Wait until every webhook is delivered and all its effects are done."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.flow.settle()
            for crm in self.crms.values():
                await crm.settle()
            await self.flow.settle()

    async def patch(self, record_id: str, **patch: Any) -> None:
        await self.flow.runtime.customers.patch(record_id, patch, correlation_id="test")

    async def post(self, webhook: SignedWebhook, **headers: str) -> int:
        url = f"{self.address}/webhooks/template"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=webhook.body, headers=webhook.headers | headers) as answer,
        ):
            return answer.status


@asynccontextmanager
async def synced(database_url: str, *names: str, **environment: str) -> AsyncIterator[Synced]:
    """Run the installed plugin `template` at connections of these names."""
    async with AsyncExitStack() as stack:
        quickly = DeliveryRetries(base=0.05)
        crms = {
            name: await stack.enter_async_context(Crm(webhook_retries=quickly))
            for name in names or ("template",)
        }
        variables = {
            "ZENSKAR_DATABASE_URL": database_url,
            "ZENSKAR_CONNECTIONS": ",".join(f"{name}=template" for name in crms),
            "ZENSKAR_RETRY_BASE_SECONDS": "0.01",
            "ZENSKAR_RETRY_MAX_SECONDS": "0.05",
            "ZENSKAR_POLL_SECONDS": "0.2",
            **environment,
        }
        for name, crm in crms.items():
            variables |= {f"{name}_{key}".upper(): text for key, text in crm.settings.items()}
        settings = load(variables)
        runtime = await stack.enter_async_context(open_runtime(settings, variables))
        served = serve(runtime.api(), "127.0.0.1", 0, settings)
        address = await stack.enter_async_context(served)
        for name, crm in crms.items():
            crm.send_webhooks_to(f"{address}/webhooks/{name}")
        await stack.enter_async_context(running_worker(runtime))
        yield Synced(Flow(runtime, {}), crms, address)


def test_the_installed_distribution_is_found_by_its_entry_point() -> None:
    plugin = discover()["template"]
    assert plugin.problem is None
    assert plugin.distribution == "zenskar-template"
    assert plugin.integration is not None
    assert plugin.integration.__module__ == "zenskar_template"
    assert plugin.schemas.keys() == {"customer", "webhook_event"}


async def test_a_customer_and_its_changes_reach_the_crm(database_url: str) -> None:
    async with synced(database_url) as both:
        record_id = await both.flow.create(**FULL)
        await both.settle()
        made = both.contact()
        assert (made["full_name"], made["email"]) == ("Ada", "ada@example.com")
        assert made["external_ref"] == record_id
        assert made["address"] == {"street": "1 Main Road", "city": "Pune", "country": "IN"}
        await both.patch(record_id, phone=None, metadata={"tier": None, "plan": "pro"})
        await both.settle()
        assert both.contact() == {**made, "phone": None, "attributes": {"plan": "pro"}}
        assert both.writes() == ["POST", "PATCH"]
        assert (await both.flow.record(record_id))["version"] == 2


async def test_our_own_writes_come_back_as_webhooks_without_an_effect(database_url: str) -> None:
    async with synced(database_url) as both:
        record_id = await both.flow.create(**FULL)
        await both.settle()
        assert [sent.status for sent in both.crm.deliveries] == [200]
        (event,) = await both.flow.events("inbound")
        # The webhook may overtake the answer, and then links the contact.
        assert event["reason"] in {"confirmed", "linked"}
        assert str(event["entity_id"]) == record_id
        assert both.writes() == ["POST"]
        assert (await both.flow.record(record_id))["version"] == 1


async def test_an_edit_in_the_crm_comes_back(database_url: str) -> None:
    async with synced(database_url) as both:
        record_id = await both.flow.create(**FULL)
        await both.settle()
        both.crm.edit(both.contact()["id"], full_name="Eve", attributes={"tier": None})
        await both.settle()
        record = await both.flow.record(record_id)
        assert (record["name"], record["email"]) == ("Eve", "ada@example.com")
        assert record["metadata"] == {}
        assert both.writes() == ["POST"]
        assert (await both.flow.mapping(record_id, "template"))["synced_version"] == 2


async def test_a_contact_of_the_crm_becomes_a_customer_once(database_url: str) -> None:
    async with synced(database_url) as both:
        both.crm.add(full_name="Grace", email="grace@example.com")
        (event,) = both.crm.events
        assert await both.post(both.crm.genuine(event)) == 200
        await both.settle()
        (record,) = await both.flow.rows("SELECT name, email FROM customers")
        assert record == {"name": "Grace", "email": "grace@example.com"}
        assert len(await both.flow.events("inbound")) == 1
        assert both.writes() == []


async def test_a_forged_webhook_is_refused_and_leaves_no_trace(database_url: str) -> None:
    async with synced(database_url) as both:
        event = {"id": "e_1", "type": "contact.created", "at": 1, "contact": {"id": "c_9"}}
        webhook = both.crm.genuine(event)
        assert await both.post(webhook, **{"X-Signature": f"sha256={'0' * 64}"}) == 400
        assert await both.flow.events("inbound") == []
        assert await both.post(webhook) == 200


async def test_a_delete_in_the_crm_deletes_the_customer(database_url: str) -> None:
    async with synced(database_url) as both:
        record_id = await both.flow.create()
        await both.settle()
        both.crm.remove(both.contact()["id"])
        await both.settle()
        assert (await both.flow.record(record_id))["deleted_at"] is not None
        assert (await both.flow.mapping(record_id, "template"))["state"] == "deleted"
        assert both.writes() == ["POST"]


@pytest.mark.parametrize(("propagate", "left"), [("true", 0), ("false", 1)])
async def test_a_delete_here_reaches_the_crm_only_on_request(
    database_url: str, propagate: str, left: int
) -> None:
    async with synced(database_url, TEMPLATE_PROPAGATE_DELETES=propagate) as both:
        record_id = await both.flow.create()
        await both.settle()
        await both.flow.runtime.customers.delete(record_id, correlation_id="test")
        await both.settle()
        assert len(both.crm.contacts) == left
        mapping = await both.flow.mapping(record_id, "template")
        assert (mapping["state"], mapping["detached"]) == ("deleted", bool(left))


@pytest.mark.parametrize("webhooks", [True, False])
async def test_a_create_whose_answer_was_lost_is_found_and_not_repeated(
    database_url: str, webhooks: bool
) -> None:
    async with synced(database_url) as both:
        both.lose_an_answer(webhooks=webhooks)
        record_id = await both.flow.create()
        await both.settle()
        assert both.contact()["external_ref"] == record_id
        assert both.writes() == ["POST"]
        assert webhooks or "GET /contacts" in both.calls()
        assert await both.flow.scalar("SELECT count(*) FROM customers") == 1
        (event,) = await both.flow.events("outbound")
        assert event["status"] == "succeeded"
        assert (await both.flow.mapping(record_id, "template"))["state"] == "active"


async def test_an_update_whose_answer_was_lost_is_looked_at(database_url: str) -> None:
    async with synced(database_url) as both:
        record_id = await both.flow.create()
        await both.settle()
        both.lose_an_answer(webhooks=False)
        await both.patch(record_id, name="Eve")
        await both.settle()
        assert both.contact()["full_name"] == "Eve"
        assert both.writes() == ["POST", "PATCH"]
        assert (await both.flow.mapping(record_id, "template"))["synced_version"] == 2


async def test_two_connections_of_one_plugin_follow_each_other(database_url: str) -> None:
    async with synced(database_url, "north", "south") as both:
        north, south = both.crms["north"], both.crms["south"]
        contact = north.add(full_name="Grace", email="grace@example.com")
        await both.settle()
        (copy,) = south.contacts.values()
        assert copy["full_name"] == "Grace"
        south.edit(copy["id"], full_name="Grace H.")
        await both.settle()
        assert north.contacts[contact]["full_name"] == "Grace H."
        assert await both.flow.scalar("SELECT count(*) FROM customers") == 1
