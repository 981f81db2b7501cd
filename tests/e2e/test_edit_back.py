"""An external edit restores a value that a push without an answer once wrote."""

import pytest

from tests.simulation.invariants import breaches
from tests.simulation.memory import Memory
from tests.simulation.world import OPEN, PATIENCE_SECONDS, World, open_world
from zenskar_stripe.sandbox import Fault, FaultKind

LOST = {
    "answer": Fault(kind=FaultKind.DROP_ANSWER, method="POST"),
    "request": Fault(kind=FaultKind.DROP_REQUEST, method="POST"),
    "late request": Fault(kind=FaultKind.ZOMBIE, method="POST", delay_seconds=0.2),
}


async def set_phone(world: World, record_id: str, phone: str) -> None:
    await world.customers().patch(record_id, {"phone": phone}, correlation_id="test")
    await world.settle(PATIENCE_SECONDS)


async def phones(world: World, record_id: str) -> tuple[str, str]:
    """Return the phone number here and at Stripe, at rest."""
    await world.settle(PATIENCE_SECONDS)
    here = (await world.customers().get(record_id))["phone"]
    (there,) = world.sandbox.dashboard.living()
    return here, there["phone"]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("lost", LOST)
async def test_it_is_taken_over(database_url: str, lost: str, *, later: bool) -> None:
    async with open_world(database_url, seed=1) as world:
        body = {"name": "Ada", "email": "ada@example.com", "phone": "1"}
        created = await world.customers().create(body, correlation_id="test")
        record_id = str(created.view["id"])
        await world.settle(PATIENCE_SECONDS)
        world.sandbox.faults.add(LOST[lost])
        await set_phone(world, record_id, "22")
        await set_phone(world, record_id, "33")
        assert await phones(world, record_id) == ("33", "33")
        if later:
            await world.outlive_requests(PATIENCE_SECONDS)
            assert await world.scalar(OPEN) == 0
        (there,) = world.sandbox.dashboard.living()
        world.sandbox.dashboard.update(there["id"], {"phone": "22"})
        assert await phones(world, record_id) == ("22", "22")
        assert await breaches(world, Memory(local=[record_id], faults=1)) == []
