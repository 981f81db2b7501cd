"""A create without an applied answer, and a worker that resumes after hours or days."""

import pytest
from sqlalchemy import text

from tests.crash.processes import DEADLINE_SECONDS
from tests.simulation.world import World, open_world
from tests.support.wait import until

AGE = text("""
    UPDATE push_intents
    SET created_at = created_at - make_interval(hours => :hours),
        lease_until = lease_until - make_interval(hours => :hours)
""")
ADA = {"name": "Ada", "email": "ada@example.com"}


async def lose_a_create(world: World) -> None:
    """Kill a worker between the call and the answer; no webhook shows the object."""
    for endpoint in world.sandbox.webhook_endpoints():
        world.sandbox.remove_webhook_endpoint(endpoint.id)
    await world.customers().create(ADA, correlation_id="test")
    worker = await world.start_worker()
    worker.kill_at("outbound.called")
    await until(worker.killed, DEADLINE_SECONDS)
    assert len(world.sandbox.dashboard.living()) == 1


async def resume_after(world: World, hours: int) -> list[str]:
    """Run a worker hours later; return the key of every create that was sent."""
    world.clock.tick(hours * 3600)
    async with world.runtime.engine.begin() as db:
        await db.execute(AGE, {"hours": hours})
    world.workers.append(await world.start_worker())
    await world.settle(DEADLINE_SECONDS)
    return [
        str(call.idempotency_key)
        for call in world.sandbox.requests
        if (call.method, call.path) == ("POST", "/v1/customers")
    ]


async def mapped(world: World) -> list[str]:
    found = await world.rows("SELECT external_id FROM external_mappings WHERE state = 'active'")
    return [row["external_id"] for row in found]


@pytest.mark.parametrize("hours", [0, 1, 22])
async def test_while_the_key_lives_the_create_is_repeated_with_it(
    database_url: str, hours: int
) -> None:
    async with open_world(database_url, seed=1, workers=0) as world:
        await lose_a_create(world)
        keys = await resume_after(world, hours)
        assert len(keys) == 2
        assert len(set(keys)) == 1
        assert await mapped(world) == [one["id"] for one in world.sandbox.dashboard.living()]


@pytest.mark.parametrize("hours", [23, 25, 24 * 60])
async def test_when_the_key_has_expired_the_create_is_looked_up(
    database_url: str, hours: int
) -> None:
    """After a day the push itself was deleted, and a second object was created."""
    async with open_world(database_url, seed=1, workers=0) as world:
        await lose_a_create(world)
        keys = await resume_after(world, hours)
        assert len(keys) == 1
        assert await mapped(world) == [one["id"] for one in world.sandbox.dashboard.living()]


async def test_a_create_that_the_look_up_does_not_find_is_made_with_a_new_key(
    database_url: str,
) -> None:
    async with open_world(database_url, seed=1, workers=0) as world:
        await lose_a_create(world)
        (lost,) = world.sandbox.dashboard.living()
        world.sandbox.dashboard.delete(lost["id"])
        keys = await resume_after(world, 25)
        assert len(keys) == len(set(keys)) == 2
        assert await mapped(world) == [one["id"] for one in world.sandbox.dashboard.living()]
