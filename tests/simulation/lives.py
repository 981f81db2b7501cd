"""Customers that are created, deleted and restored, on each side."""

from typing import Any

from tests.simulation.edits import anybody_here, anybody_outside, is_living, owner_of
from tests.simulation.memory import Act, Memory
from tests.simulation.world import World
from zenskar.errors import NotFound
from zenskar_stripe.sandbox.events import DASHBOARD


def _extras(act: Act) -> dict[str, Any]:
    """Return more fields for two of three customers."""
    value = act.value
    extras = {
        "phone": f"{value}phone",
        "address": {"line1": f"{value}line", "country": "DE"},
        "metadata": {"k": f"{value}k", "l": f"{value}l"},
    }
    return extras if act.who % 3 else {}


async def create(world: World, act: Act, memory: Memory) -> bool:
    """Create a record."""
    body = {"name": act.value, "email": f"{act.value}@example.com", **_extras(act)}
    created = await world.customers().create(body, correlation_id="simulation")
    memory.local.append(str(created.view["id"]))
    memory.note("internal", memory.local[-1], body)
    return True


async def create_outside(world: World, act: Act, memory: Memory) -> bool:
    """Create an object."""
    body = {"name": act.value, **_extras(act)}
    created = world.sandbox.dashboard.create(body)
    memory.external.append(str(created["id"]))
    memory.note(world.side_outside, memory.external[-1], body)
    return True


async def create_beside(world: World, act: Act, memory: Memory) -> bool:
    """Create a contact in the org beside."""
    if world.org is None:
        return False
    memory.external.append(world.org.create(act.value))
    return True


async def delete(world: World, act: Act, _memory: Memory) -> bool:
    """Delete a record."""
    record_id = await anybody_here(world, act)
    if record_id is None:
        return False
    try:
        await world.customers().delete(record_id, correlation_id="simulation")
    except NotFound:
        return False
    return True


async def delete_outside(world: World, act: Act, memory: Memory) -> bool:
    """Delete an object."""
    external_id = await anybody_outside(world, act)
    if external_id is None or not is_living(world, external_id):
        return False
    memory.bin[external_id] = world.sandbox.dashboard.retrieve(external_id)
    world.sandbox.dashboard.delete(external_id)
    return True


async def delete_beside(world: World, act: Act, _memory: Memory) -> bool:
    """Delete a contact in the org beside."""
    contact = None if world.org is None else world.org.anybody(act.who)
    if world.org is None or contact is None:
        return False
    world.org.delete(contact)
    return True


async def restore_outside(world: World, act: Act, memory: Memory) -> bool:
    """Restore a deleted customer, whom only the story can restore: Stripe cannot."""
    dead = sorted(name for name in memory.bin if not is_living(world, name))
    if not dead:
        return False
    external_id = dead[act.who % len(dead)]
    customer, dashboard = memory.bin[external_id], world.sandbox.dashboard
    catalog = dashboard._catalog
    with dashboard._store.transaction():
        catalog._listing.timeline.add(external_id, customer["created"])
        catalog._keep(customer)
        data = {"object": customer, "previous_attributes": {}}
        catalog._events.emit("customer.updated", DASHBOARD, data)
    memory.forget(await owner_of(world, external_id))
    memory.returned.add(external_id)
    return True
