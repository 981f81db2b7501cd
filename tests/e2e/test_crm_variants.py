"""Systems whose webhooks only name objects, and systems without webhooks, both ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from plugins.template.tests.crm import Crm
from tests.e2e.crm_variants import (
    BulkCrm,
    BulkIntegration,
    JournalCrm,
    NamingIntegration,
    PolledIntegration,
)
from tests.e2e.test_template import Synced
from tests.support.flow import Flow, running_worker
from tests.support.wait import until
from zenskar import BaseIntegration
from zenskar.api.server import serve
from zenskar.http.lookalike import DeliveryRetries, Fault, FaultKind
from zenskar.plugins.discovery import Plugin
from zenskar.runtime import open_runtime
from zenskar.settings import load

VARIANTS = [NamingIntegration, PolledIntegration]


@asynccontextmanager
async def synced(
    database_url: str, kind: type[BaseIntegration], crm: Crm, *, webhooks: bool = True
) -> AsyncIterator[Synced]:
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
        if webhooks:
            crm.send_webhooks_to(f"{address}/webhooks/crm")
        await stack.enter_async_context(running_worker(runtime))
        yield Synced(Flow(runtime, {}), {"crm": crm}, address)


@pytest.fixture
async def crm() -> AsyncIterator[JournalCrm]:
    async with JournalCrm(webhook_retries=DeliveryRetries(attempts=1)) as running:
        yield running


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


@pytest.mark.parametrize("kind", VARIANTS)
async def test_changes_of_both_sides_arrive(
    database_url: str, crm: JournalCrm, kind: type[BaseIntegration]
) -> None:
    async with synced(database_url, kind, crm) as both:
        record_id = await both.flow.create()
        grace = crm.add(full_name="Grace", email="grace@example.com")
        await equal(both, "Ada", "Grace")
        await both.patch(record_id, name="Ada L.")
        crm.edit_many({grace: [f"Grace {number}" for number in range(5)]})
        await equal(both, "Ada L.", "Grace 4")
        crm.remove(grace)
        await equal(both, "Ada L.")
        assert both.writes() == ["POST", "PATCH"]
        unfinished = "SELECT count(*) FROM sync_events WHERE status NOT IN ('succeeded', 'ignored')"
        assert await both.flow.scalar(unfinished) == 0


@pytest.mark.parametrize("kind", VARIANTS)
async def test_a_lost_answer_makes_no_second_contact(
    database_url: str, crm: JournalCrm, kind: type[BaseIntegration]
) -> None:
    async with synced(database_url, kind, crm) as both:
        crm.faults.add(Fault(kind=FaultKind.DROP_ANSWER, method="POST"))
        await both.flow.create()
        await equal(both, "Ada")
        assert both.writes().count("POST") == 1


async def test_a_system_without_webhooks_receives_none(database_url: str, crm: JournalCrm) -> None:
    async with synced(database_url, PolledIntegration, crm) as both:
        assert await both.post(crm.genuine({"id": "e_1"})) == 404
        crm.add(full_name="Grace")
        await equal(both, "Grace")
        assert {sent.status for sent in crm.deliveries} == {404}


async def test_changes_while_nothing_ran_arrive_by_the_checkpoint(
    database_url: str, crm: JournalCrm
) -> None:
    async with synced(database_url, PolledIntegration, crm, webhooks=False) as both:
        first = crm.add(full_name="Grace")
        await equal(both, "Grace")
    crm.edit_many({first: ["Hopper"]})
    for number in range(4):
        crm.add(full_name=f"Customer {number}")
    crm.requests.clear()
    async with synced(database_url, PolledIntegration, crm, webhooks=False) as both:
        await equal(both, "Hopper", *(f"Customer {n}" for n in range(4)))
        assert "GET /contacts" not in both.calls()


async def test_changes_that_the_system_has_forgotten_arrive_by_a_reconcile(
    database_url: str, crm: JournalCrm
) -> None:
    async with synced(database_url, PolledIntegration, crm, webhooks=False) as both:
        first = crm.add(full_name="Grace")
        await equal(both, "Grace")
    crm.edit_many({first: ["Hopper"]})
    crm.add(full_name="Eve")
    crm.kept_after = len(crm.journal)
    async with synced(database_url, PolledIntegration, crm, webhooks=False) as both:
        wanted = "SELECT (state -> 'wanted')::boolean FROM schedules WHERE name = 'compare:crm'"
        await both.flow.until_scalar(wanted)
        await equal(both, "Eve", "Hopper")


async def test_many_changes_cost_few_calls(database_url: str) -> None:
    names = [f"Customer {number:02}" for number in range(20)]
    async with BulkCrm() as crm, synced(database_url, BulkIntegration, crm) as both:
        await asyncio.gather(*(both.flow.create(name=name) for name in names))
        await equal(both, *names)
        assert sum(crm.bulks) + both.writes().count("POST") == 20 + len(crm.bulks)
        assert len(both.writes()) < 15
        await crm.settle()
        await equal(both, *names)


async def test_a_system_that_others_use_up_gets_no_push(database_url: str) -> None:
    held = "SELECT held_until > now() FROM connections WHERE name = 'crm'"
    async with BulkCrm() as crm, synced(database_url, BulkIntegration, crm) as both:
        crm.others = 950
        await asyncio.gather(*(both.flow.create(name=f"Customer {n}") for n in range(4)))
        await both.settle()
        # The first slices are used up, and the next one needs the count of the system.
        for number in range(4, 20):
            await both.flow.create(name=f"Customer {number}")
        await both.flow.until_scalar(held)
        assert len(crm.contacts) < 20
