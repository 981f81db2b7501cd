"""An outage pauses a connection, a flood of deletes too, and neither loses anything."""

import pytest

from tests.support.fake import FakeError
from tests.support.flow import Flow, open_flow
from tests.support.wait import until
from zenskar import FailureKind, Health, Push
from zenskar.db import connections
from zenskar.db.engine import in_transaction


async def wait_until(flow: Flow, query: str) -> None:
    await until(lambda: flow.scalar(query))


async def resume(flow: Flow) -> None:
    await in_transaction(flow.runtime.engine, lambda c: connections.resume(c, "fake"))
    flow.runtime.context.wake("sync.inbound")


def away(_push: Push) -> None:
    raise FakeError(FailureKind.UNKNOWN_OUTCOME)


async def test_an_outage_pauses_and_ends_by_itself_without_dead_letters(
    database_url: str,
) -> None:
    settings = {"breaker_failures": 2, "retry_max_attempts": 4, "probe_seconds": 0.05}
    async with open_flow(database_url, **settings) as flow:
        system = flow.systems["fake"]
        system.before = away
        system.health = Health(ok=False, detail="away")
        for number in range(6):
            await flow.create(name=f"Customer {number}")
        await wait_until(flow, "SELECT reason = 'outage' FROM connections")
        system.before = lambda _push: None
        system.health = Health(ok=True)
        await flow.settle()
        assert len(system.objects) == 6
        assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0
        assert await flow.scalar("SELECT state FROM connections") == "active"


async def test_trouble_with_one_record_is_no_outage(database_url: str) -> None:
    async with open_flow(database_url, breaker_failures=1, retry_max_attempts=3) as flow:
        flow.systems["fake"].before = away
        await flow.create()
        await flow.settle()
        assert await flow.scalar("SELECT status FROM sync_events") == "dead"
        assert await flow.scalar("SELECT state FROM connections") == "active"


async def test_deletes_that_only_fetches_show_are_held_back_too(database_url: str) -> None:
    async with open_flow(database_url, delete_guard_limit=3) as flow:
        system = flow.systems["fake"]
        ids = [await flow.create(name=f"Customer {number}") for number in range(6)]
        await flow.settle()
        for external_id in list(system.objects):
            system.objects[external_id] = None
        for record_id in ids:
            await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        await wait_until(flow, "SELECT reason = 'delete_guard' FROM connections")
        await wait_until(
            flow,
            "SELECT bool_and(claimed_until IS NULL AND available_at > now()) FROM outbox",
        )
        alive = "SELECT count(*) FROM customers WHERE deleted_at IS NULL"
        assert await flow.scalar(alive) >= 3
        await resume(flow)
        await flow.settle()
        assert await flow.scalar(alive) == 0


@pytest.mark.parametrize("batch", [1, 50])
async def test_a_flood_of_deletes_is_held_back_until_it_is_allowed(
    database_url: str, batch: int
) -> None:
    async with open_flow(database_url, delete_guard_limit=3, inbound_batch=batch) as flow:
        system = flow.systems["fake"]
        for number in range(6):
            system.create(name=f"Customer {number}")
        await flow.deliver()
        for external_id in list(system.objects):
            system.delete(external_id)
        for webhook in system.webhooks:
            await flow.runtime.ingress.accept("fake", webhook, "test")
        await wait_until(flow, "SELECT reason = 'delete_guard' FROM connections")
        await wait_until(flow, "SELECT count(*) > 0 FROM sync_events WHERE status = 'pending'")
        alive = "SELECT count(*) FROM customers WHERE deleted_at IS NULL"
        assert await flow.scalar(alive) >= 3
        await wait_until(
            flow,
            "SELECT count(*) > 0 AND bool_and(claimed_until IS NULL AND available_at > now())"
            " FROM outbox",
        )
        await resume(flow)
        await flow.settle()
        assert await flow.scalar(alive) == 0


async def test_a_guard_of_zero_lets_everything_through(database_url: str) -> None:
    async with open_flow(database_url, delete_guard_limit=0) as flow:
        system = flow.systems["fake"]
        external_ids = [system.create(name=f"Customer {n}") for n in range(5)]
        for external_id in external_ids:
            system.delete(external_id)
        await flow.deliver()
        assert await flow.scalar("SELECT count(*) FROM customers WHERE deleted_at IS NULL") == 0
