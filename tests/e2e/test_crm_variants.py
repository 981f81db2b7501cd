"""A system that takes many changes in one call, and counts the calls."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from plugins.template.tests.crm import Crm
from tests.e2e.crm_variants import BulkCrm, BulkIntegration, MergingCrm, MergingIntegration
from tests.e2e.test_template import Synced
from tests.support.flow import Flow, running_worker
from tests.support.wait import until
from zenskar import BaseIntegration
from zenskar.api.server import serve
from zenskar.http.lookalike import Fault, FaultKind
from zenskar.plugins.discovery import Plugin
from zenskar.runtime import open_runtime
from zenskar.settings import load


@asynccontextmanager
async def synced(database_url: str, kind: type[BaseIntegration], crm: Crm) -> AsyncIterator[Synced]:
    """Run an integration with a CRM that runs already."""
    variables = {
        "ZENSKAR_DATABASE_URL": database_url,
        "ZENSKAR_RETRY_BASE_SECONDS": "0.01",
        "ZENSKAR_RETRY_MAX_SECONDS": "0.05",
        "ZENSKAR_POLL_SECONDS": "0.2",
        **{f"CRM_{name}".upper(): text for name, text in crm.settings.items()},
    }
    settings = load(variables)
    plugins = {"crm": Plugin("crm", "test-crm", "1", kind)}
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(
            open_runtime(settings, variables, plugins=plugins)
        )
        address = await stack.enter_async_context(serve(runtime.api(), "127.0.0.1", 0, settings))
        crm.send_webhooks_to(f"{address}/webhooks/crm")
        await stack.enter_async_context(running_worker(runtime))
        yield Synced(Flow(runtime, {}), {"crm": crm}, address)


async def customers(both: Synced) -> list[str]:
    query = "SELECT name FROM customers WHERE deleted_at IS NULL ORDER BY name"
    return [row["name"] for row in await both.flow.rows(query)]


async def equal(both: Synced, *names: str) -> None:
    """Wait until both sides have exactly these names."""

    async def same() -> bool:
        await both.settle()
        there = sorted(contact["full_name"] for contact in both.crm.contacts.values())
        return await customers(both) == there == sorted(names)

    await until(same)


async def create_during_a_call(both: Synced, names: list[str]) -> None:
    """Create customers while the first push is on its way, so that the others gather."""
    both.crm.faults.add(Fault(kind=FaultKind.DELAY, method="POST", delay_seconds=1.0))
    await asyncio.gather(*(both.flow.create(name=name) for name in names))


async def test_many_changes_cost_few_calls(database_url: str) -> None:
    names = [f"Customer {number:02}" for number in range(20)]
    async with BulkCrm() as crm, synced(database_url, BulkIntegration, crm) as both:
        await create_during_a_call(both, names)
        await equal(both, *names)
        assert sum(crm.bulks) + both.writes().count("POST") == 20 + len(crm.bulks)
        assert len(both.writes()) < 15
        await crm.settle()
        await equal(both, *names)


async def test_a_system_that_others_use_up_gets_no_push(database_url: str) -> None:
    held = "SELECT held_until > now() FROM connections WHERE name = 'crm'"
    async with BulkCrm() as crm, synced(database_url, BulkIntegration, crm) as both:
        crm.others = 950
        await create_during_a_call(both, [f"Customer {number}" for number in range(4)])
        await both.settle()
        # The first calls are used up, and the next ones need the count of the system.
        for number in range(4, 20):
            await both.flow.create(name=f"Customer {number}")
        await both.flow.until_scalar(held)
        assert len(crm.contacts) < 20


async def test_merged_contacts_delete_no_customer(database_url: str) -> None:
    async with MergingCrm() as crm, synced(database_url, MergingIntegration, crm) as both:
        record_id = await both.flow.create()
        await equal(both, "Ada")
        (mine,) = (contact["id"] for contact in crm.contacts.values())
        crm.silent = True
        grace = crm.add(full_name="Grace", email="ada@example.com")
        crm.silent = False
        crm.merge(mine, grace)
        await equal(both, "Grace")
        hopper = crm.add(full_name="Hopper")
        await equal(both, "Grace", "Hopper")
        crm.silent = True
        crm.merge(grace, hopper)
        crm.silent = False
        # No webhook reported this merge, so the push is redirected to the other contact.
        await both.patch(record_id, phone="+91 1")
        await both.settle()
        assert crm.contacts[hopper]["phone"] == "+91 1"
        assert await customers(both) == ["Grace", "Hopper"]
