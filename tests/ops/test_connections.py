"""An outage pauses a connection, a flood of deletes too, and neither loses anything."""

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.drift import factory, names
from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow, open_flow
from tests.support.wait import until
from zenskar import FailureKind, Health, Push
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import held_deletes
from zenskar.errors import StateConflict
from zenskar.model.actor import Actor
from zenskar.ops import connections
from zenskar.ops.connections import ResumeRequest
from zenskar.ops.drop_deletes import DroppedDeletes

BY = Actor("test", "a test")


async def wait_until(flow: Flow, query: str) -> None:
    await until(lambda: flow.scalar(query))


async def resume(flow: Flow, apply_deletes: int | None = None) -> None:
    request = ResumeRequest(apply_deletes)
    broadcaster = flow.runtime.context.broadcaster
    await in_transaction(
        flow.runtime.engine, lambda c: connections.resume(c, "fake", BY, request, broadcaster)
    )
    flow.runtime.context.wake("sync.inbound")


async def held(flow: Flow) -> int:
    return await in_transaction(flow.runtime.engine, lambda c: held_deletes.count(c, "fake"))


ALL_HELD = (
    "SELECT bool_and(claimed_until IS NULL AND available_at > now())"
    " AND count(*) = (SELECT count(*) FROM sync_events WHERE status = 'pending')"
    " AND count(*) = (SELECT count(*) FROM customers WHERE deleted_at IS NULL) FROM outbox"
)


async def flooded(flow: Flow, count: int) -> FakeSystem:
    """Delete this many external objects, which the guard holds back."""
    system = flow.systems["fake"]
    for number in range(count):
        system.create(name=f"Customer {number}")
    await flow.deliver()
    for external_id, held_object in list(system.objects.items()):
        if held_object is not None:
            system.delete(external_id)
    for webhook in system.webhooks:
        await flow.runtime.ingress.accept("fake", webhook, "test")
    system.webhooks.clear()
    await wait_until(flow, "SELECT reason = 'delete_guard' FROM connections")
    await wait_until(flow, ALL_HELD)
    return system


ALIVE = "SELECT count(*) FROM customers WHERE deleted_at IS NULL"


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
        await flooded(flow, 6)
        waiting = await held(flow)
        assert await flow.scalar(ALIVE) == waiting >= 3
        for told in (None, waiting - 1, waiting + 1):
            with pytest.raises(StateConflict, match=f"{waiting} deletes are held"):
                await resume(flow, told)
        await resume(flow, waiting)
        await flow.settle()
        assert await flow.scalar(ALIVE) == 0
        last = "SELECT error_message, by FROM connection_history ORDER BY id DESC LIMIT 1"
        assert await flow.rows(last) == [
            {"error_message": f"{waiting} held deletes were let go", "by": str(BY)}
        ]


async def test_what_comes_after_a_resume_is_held_again(database_url: str) -> None:
    async with open_flow(database_url, delete_guard_limit=3) as flow:
        await flooded(flow, 6)
        await resume(flow, await held(flow))
        await flow.settle()
        # Released deletes do not count against later ones.
        system = flow.systems["fake"]
        for number in range(5):
            system.create(name=f"More {number}")
        await flow.deliver()
        await flooded(flow, 0)
        assert await flow.scalar(ALIVE) >= 2


async def test_held_deletes_are_dropped_after_a_look_at_each_object(database_url: str) -> None:
    async with open_flow(database_url, delete_guard_limit=3, inbound_batch=50) as flow:
        system = await flooded(flow, 6)
        before = await held(flow)
        waiting = await in_transaction(
            flow.runtime.engine, lambda c: held_deletes.deletes(c, "fake", most=100)
        )
        living = [one.external_id for one in waiting][-3:]
        system.objects.update({external_id: {"name": "Alive"} for external_id in living})
        drop, proven = factory(flow).held_delete_dropper().drop, before - 3
        assert await drop("fake", BY) == DroppedDeletes(3, proven)
        if proven:
            assert await flow.scalar("SELECT state FROM connections") == "paused"
            assert await held(flow) == proven
            await resume(flow, proven)
        flow.runtime.context.wake("sync.inbound")
        await flow.settle()
        assert await names(flow) == ["Alive"] * 3
        dropped = "SELECT count(*) FROM sync_events WHERE reason = 'delete_dropped'"
        assert await flow.scalar(dropped) == 3


async def test_held_deletes_of_objects_that_are_not_visible_are_dropped(
    database_url: str,
) -> None:
    async with open_flow(database_url, delete_guard_limit=1) as flow:
        system = await flooded(flow, 4)
        system.objects.clear()
        waiting = await held(flow)
        assert await factory(flow).held_delete_dropper().drop("fake", BY) == DroppedDeletes(
            waiting, 0
        )
        flow.runtime.context.wake("sync.inbound")
        await flow.settle()
        assert await flow.scalar(ALIVE) == waiting
        assert await flow.scalar("SELECT state FROM connections") == "active"
        with pytest.raises(StateConflict, match="holds no deletes"):
            await factory(flow).held_delete_dropper().drop("fake", BY)


async def test_a_guard_of_zero_lets_everything_through(database_url: str) -> None:
    async with open_flow(database_url, delete_guard_limit=0) as flow:
        system = flow.systems["fake"]
        external_ids = [system.create(name=f"Customer {n}") for n in range(5)]
        for external_id in external_ids:
            system.delete(external_id)
        await flow.deliver()
        assert await flow.scalar("SELECT count(*) FROM customers WHERE deleted_at IS NULL") == 0


async def test_a_guard_that_is_closed_by_hand_holds_the_rest(database_url: str) -> None:
    async with open_flow(database_url, delete_guard_limit=2, retry_max_attempts=1) as flow:
        await flooded(flow, 5)
        engine, waiting = flow.runtime.engine, await held(flow)

        async def apply_and_close(db: AsyncConnection) -> None:
            broadcaster, request = flow.runtime.context.broadcaster, ResumeRequest(waiting)
            await connections.resume(db, "fake", BY, request, broadcaster)
            await connections.close_guard(db, "fake", BY)

        await in_transaction(engine, apply_and_close)
        flow.runtime.context.wake("sync.inbound")
        await wait_until(flow, "SELECT reason = 'delete_guard' FROM connections")
        await wait_until(flow, ALL_HELD)
        assert await flow.scalar(ALIVE) > 0
        with pytest.raises(StateConflict, match="closed already"):
            await in_transaction(engine, lambda c: connections.close_guard(c, "fake", BY))
        await resume(flow, await held(flow))
        await flow.settle()
        assert await flow.scalar(ALIVE) == 0
        state = await flow.runtime.services().state()
        assert state.deletes["fake"].open_through is not None
        kinds = await flow.rows("SELECT action FROM operator_actions ORDER BY id")
        assert [each["action"] for each in kinds] == ["resume", "close_guard", "resume"]
