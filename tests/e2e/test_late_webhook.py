"""The feed shows an event whose webhook is still on its way."""

from tests.simulation.world import PATIENCE_SECONDS, open_world
from tests.support.wait import until
from zenskar_stripe.sandbox import Fault, FaultKind


async def test_its_state_is_recorded_though_it_is_overwritten_meanwhile(database_url: str) -> None:
    async with open_world(database_url, seed=1) as world:
        made = world.sandbox.dashboard.create({"name": "Ada"})["id"]
        await world.settle(PATIENCE_SECONDS)
        late = Fault(kind=FaultKind.WEBHOOK_DELAY, delay_seconds=PATIENCE_SECONDS, count=1)
        world.sandbox.faults.add(late)
        # Both edits happen before a worker could fetch the first one.
        world.sandbox.dashboard.update(made, {"name": "Eve"})
        world.sandbox.dashboard.update(made, {"name": "Bob"})

        async def is_read() -> bool:
            name = await world.scalar("SELECT name FROM customers")
            return name == "Bob" and "Eve" in str(await world.history())

        await until(is_read)
