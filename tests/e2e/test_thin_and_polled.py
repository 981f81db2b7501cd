"""The examples through the whole runtime: webhooks that only name objects, and none at all."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from tests.e2e.example_systems import (
    PLUGINS,
    CardfileSystem,
    DoorbellSystem,
    ExampleSystem,
    environment,
    running,
    writes,
)
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar.api.server import serve
from zenskar.http.lookalike import Fault, FaultKind
from zenskar.runtime import open_runtime
from zenskar.settings import load

BOTH = ["doorbell", "cardfile"]


@dataclass
class Joined:
    """A runtime, and the system at its connection."""

    flow: Flow
    external: ExampleSystem
    address: str

    async def patch(self, record_id: str, **patch: str) -> None:
        await self.flow.runtime.customers.patch(record_id, patch, correlation_id="test")

    async def settle(self) -> None:
        """Wait until every ring is heard and all its effects are done."""
        await self.flow.settle()
        await self.external.system.settle()
        await self.flow.settle()

    async def equal(self, *names: str) -> None:
        """Wait until both sides have exactly these names."""

        async def same() -> bool:
            await self.settle()
            query = "SELECT name FROM customers WHERE deleted_at IS NULL ORDER BY name"
            here = [row["name"] for row in await self.flow.rows(query)]
            there = sorted(str(state[0]) for state in self.external.states().values())
            return here == there == sorted(names)

        await until(same)


@pytest.fixture
async def external(request: pytest.FixtureRequest) -> AsyncIterator[ExampleSystem]:
    async with running(request.param, time.time) as system:
        yield system


both = pytest.mark.parametrize("external", BOTH, indirect=True)
polled = pytest.mark.parametrize("external", ["cardfile"], indirect=True)
thin = pytest.mark.parametrize("external", ["doorbell"], indirect=True)


@asynccontextmanager
async def joined(database_url: str, external: ExampleSystem, *roles: str) -> AsyncIterator[Joined]:
    """Run the integration with a system that runs already, and a worker with these roles or all."""
    variables = {
        "ZENSKAR_DATABASE_URL": database_url,
        "ZENSKAR_RETRY_BASE_SECONDS": "0.01",
        "ZENSKAR_RETRY_MAX_SECONDS": "0.05",
        "ZENSKAR_POLL_SECONDS": "0.2",
        **environment(external),
    }
    settings = load(variables)
    async with AsyncExitStack() as stack:
        opened = open_runtime(settings, variables, plugins=PLUGINS)
        runtime = await stack.enter_async_context(opened)
        address = await stack.enter_async_context(serve(runtime.api(), "127.0.0.1", 0, settings))
        if isinstance(external, DoorbellSystem):
            external.system.send_webhooks_to(f"{address}/webhooks/doorbell")
        await stack.enter_async_context(running_worker(runtime, *roles))
        yield Joined(Flow(runtime, {}), external, address)


@both
async def test_changes_of_both_sides_arrive(database_url: str, external: ExampleSystem) -> None:
    async with joined(database_url, external) as both_sides:
        record_id = await both_sides.flow.create()
        grace = external.add(name="Grace", email="grace@example.com")
        await both_sides.equal("Ada", "Grace")
        await both_sides.patch(record_id, name="Ada L.")
        for number in range(5):
            external.edit(grace, name=f"Grace {number}")
        await both_sides.equal("Ada L.", "Grace 4")
        external.system.remove(grace)
        await both_sides.equal("Ada L.")
        assert writes(external) == ["POST", "PATCH"]
        unfinished = "SELECT count(*) FROM sync_events WHERE status NOT IN ('succeeded', 'ignored')"
        assert await both_sides.flow.scalar(unfinished) == 0


@both
async def test_a_lost_answer_makes_no_second_object(
    database_url: str, external: ExampleSystem
) -> None:
    async with joined(database_url, external) as both_sides:
        external.system.faults.add(Fault(kind=FaultKind.DROP_ANSWER, method="POST"))
        await both_sides.flow.create()
        await both_sides.equal("Ada")
        assert writes(external).count("POST") == 1


@both
async def test_an_edit_there_during_a_push_is_kept(
    database_url: str, external: ExampleSystem
) -> None:
    """The push names an older state, so the object is fetched and the rest is pushed."""
    external.variables["CARDFILE_POLL_SECONDS"] = "600"
    async with joined(database_url, external) as both_sides:
        record_id = await both_sides.flow.create()
        await both_sides.equal("Ada")
        (object_id,) = external.states()
        if isinstance(external, DoorbellSystem):
            (endpoint,) = external.system.webhook_endpoints()
            external.system.remove_webhook_endpoint(endpoint.id)
        external.edit(object_id, phone="1")
        await both_sides.patch(record_id, name="Ada L.", phone="2")
        await both_sides.equal("Ada L.")
        ((_, _, phone),) = external.states().values()
        record = await both_sides.flow.record(record_id)
        assert record["phone"] == phone == "2"
        stale = "SELECT count(*) FROM sync_event_history WHERE detail::text LIKE '%stale_version%'"
        assert await both_sides.flow.scalar(stale) > 0


@thin
async def test_a_forged_ring_is_refused(database_url: str, external: ExampleSystem) -> None:
    async with joined(database_url, external) as both_sides, aiohttp.ClientSession() as session:
        url, body = f"{both_sides.address}/webhooks/doorbell", {"rings": []}
        headers = {"X-Doorbell-Signature": "0" * 64}
        async with session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 400


@thin
async def test_a_person_forgotten_there_is_erased_here(
    database_url: str, external: ExampleSystem
) -> None:
    external.variables["DOORBELL_ON_PURGE"] = "erase"
    assert isinstance(external, DoorbellSystem)
    async with joined(database_url, external) as both_sides:
        await both_sides.flow.create()
        await both_sides.equal("Ada")
        external.system.forget(next(iter(external.states())))

        async def erased() -> bool:
            await both_sides.settle()
            return await both_sides.flow.rows("SELECT name, email FROM customers") == [
                {"name": None, "email": None}
            ]

        await until(erased)


@polled
async def test_a_system_without_webhooks_receives_none(
    database_url: str, external: ExampleSystem
) -> None:
    async with (
        joined(database_url, external) as both_sides,
        aiohttp.ClientSession() as session,
        session.post(f"{both_sides.address}/webhooks/cardfile", json={}) as answer,
    ):
        assert answer.status == 404


@polled
async def test_a_card_belongs_to_the_customer_with_its_address(
    database_url: str, external: ExampleSystem
) -> None:
    # The customer is older than the connection, so no card was created.
    async with open_flow(database_url) as flow:
        record_id = await flow.create(phone="1")
        await flow.settle()
    card = external.add(name="Ada L.", email="ADA@example.com")
    async with joined(database_url, external, "inbound", "outbound") as both_sides:
        backfiller = both_sides.flow.runtime.operations().backfiller(wait_seconds=30)
        count = await backfiller.run("cardfile", "customer")
        assert (count.complete, count.verdicts) == (True, {"linked": 1})
        await both_sides.equal("Ada")
        mapping = await both_sides.flow.mapping(record_id, "cardfile")
        assert (mapping["external_id"], writes(external)) == (card, ["PATCH"])
        assert external.states()[card] == ("Ada", "ada@example.com", "1")


@polled
async def test_a_refused_create_is_linked_with_the_card_that_exists(
    database_url: str, external: ExampleSystem
) -> None:
    card = external.add(name="Ada L.", email="ADA@example.com")
    # Without the scheduler nothing polls, so only the refusal shows the card.
    async with joined(database_url, external, "relay", "inbound", "outbound") as both_sides:
        record_id = await both_sides.flow.create(phone="1")
        await both_sides.equal("Ada")
        mapping = await both_sides.flow.mapping(record_id, "cardfile")
        assert (mapping["external_id"], writes(external)) == (card, ["POST", "PATCH"])
        assert external.states() == {card: ("Ada", "ada@example.com", "1")}


@polled
async def test_changes_while_nothing_ran_arrive_by_the_checkpoint(
    database_url: str, external: ExampleSystem
) -> None:
    async with joined(database_url, external) as both_sides:
        first = external.add(name="Grace")
        await both_sides.equal("Grace")
    external.edit(first, name="Hopper")
    for number in range(12):
        external.add(name=f"Person {number}")
    external.system.requests.clear()
    async with joined(database_url, external) as both_sides:
        await both_sides.equal("Hopper", *(f"Person {n}" for n in range(12)))
        assert "/cards" not in {call.path for call in external.system.requests}


@polled
async def test_changes_that_the_system_has_forgotten_arrive_by_a_reconcile(
    database_url: str, external: ExampleSystem
) -> None:
    assert isinstance(external, CardfileSystem)
    async with joined(database_url, external) as both_sides:
        first = external.add(name="Grace")
        await both_sides.equal("Grace")
    external.edit(first, name="Hopper")
    external.add(name="Eve")
    external.system.forget()
    async with joined(database_url, external) as both_sides:
        wanted = (
            "SELECT (state -> 'wanted')::boolean FROM schedules WHERE name = 'compare:cardfile'"
        )
        await both_sides.flow.until_scalar(wanted)
        await both_sides.equal("Eve", "Hopper")
