"""The story of a world: a list of acts, drawn from a seed and replayed unchanged."""

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

from tests.simulation.beside import FAULTS as BESIDE_FAULTS
from tests.simulation.memory import Act, Memory, Restored, Written
from tests.simulation.partial import system_of
from tests.simulation.people import draw_copies, fill_here, fill_there, join
from tests.simulation.workers import POINTS
from tests.simulation.world import World
from zenskar.errors import NotFound, Unavailable
from zenskar.model.fields import CUSTOMER, flatten
from zenskar_stripe.sandbox import Fault, FaultKind
from zenskar_stripe.sandbox.events import DASHBOARD

FIELDS = ("name", "phone", "metadata")
ANYWHERE = "anywhere"
_API_ATTEMPTS = 20
CALM_SECONDS = 10.0
SHIFTS = (0.0, 5.0, -5.0, 60.0, -60.0)
"""The largest error of a clock in seconds; webhook signatures tolerate a few minutes."""
API_POINTS = ("customer.committed", "webhook.received", "webhook.published")


_QUIET_SECONDS = 3.0
_OWNER = """
    SELECT CAST(entity_id AS text) FROM external_mappings
    WHERE external_id = :external_id AND state = 'active'
"""
_FAULTS: dict[str, dict[str, Any]] = {
    "rate_limited": {"kind": FaultKind.RATE_LIMITED},
    "error": {"kind": FaultKind.SERVER_ERROR, "method": "POST"},
    "error_after": {"kind": FaultKind.SERVER_ERROR, "method": "POST", "effect": True},
    "drop_answer": {"kind": FaultKind.DROP_ANSWER, "method": "POST"},
    "drop_request": {"kind": FaultKind.DROP_REQUEST, "method": "POST"},
    "zombie": {"kind": FaultKind.ZOMBIE, "method": "POST", "delay_seconds": 0.2},
    "late_zombie": {"kind": FaultKind.ZOMBIE, "method": "POST", "delay_seconds": 0.9},
    "truncate": {"kind": FaultKind.TRUNCATE},
    "slow": {"kind": FaultKind.DELAY, "delay_seconds": 0.2},
    "too_slow": {"kind": FaultKind.DELAY, "delay_seconds": 0.8},
    "webhook_delay": {"kind": FaultKind.WEBHOOK_DELAY, "delay_seconds": 0.3},
    "webhook_duplicate": {"kind": FaultKind.WEBHOOK_DUPLICATE, "copies": 3},
    "webhook_reorder": {"kind": FaultKind.WEBHOOK_REORDER, "size": 2},
    "webhook_drop": {"kind": FaultKind.WEBHOOK_DROP, "attempts": 3},
}

_WEIGHTS = {
    "create": 3,
    "create_outside": 2,
    "edit": 6,
    "edit_outside": 6,
    "edit_back": 3,
    "delete": 1,
    "delete_outside": 1,
    "tick": 2,
    "rest": 5,
    "calm": 3,
    "fault": 6,
    "kill": 3,
    "set_our_clock": 1,
    "set_their_clock": 1,
}


_RESTORES = {"delete_outside": 4, "restore_outside": 6}


_BESIDE = {"create_beside": 2, "edit_beside": 6, "delete_beside": 1, "fault_beside": 4}


def draw(seed: int) -> list[Act]:
    """Draw a story."""
    rng = random.Random(seed)
    system = system_of(seed)
    known = _WEIGHTS | (_RESTORES if system.restores else {}) | (_BESIDE if system.beside else {})
    kinds, weights = list(known), list(known.values())
    picked = rng.choices(kinds, weights, k=rng.randint(5, 16))
    first = rng.choice(["create", "create_outside"])
    filled = _filling(rng) if system.full else []
    kinds = [first, *picked]
    return filled + [_act(kind, number, rng) for number, kind in enumerate(kinds, len(filled))]


def _filling(rng: random.Random) -> list[Act]:
    """Draw two sides that hold the same people, some edits, and the end of the pause."""
    copies = [Act(kind, who, value=f"v{n}") for n, (kind, who) in enumerate(draw_copies(rng))]
    kinds = [*rng.choices(["edit", "edit_outside"], k=rng.randint(0, 3)), "join"]
    return copies + [_act(kind, number, rng) for number, kind in enumerate(kinds, len(copies))]


def _act(kind: str, number: int, rng: random.Random) -> Act:
    what = {
        "edit": FIELDS,
        "edit_outside": FIELDS,
        "edit_back": FIELDS,
        "edit_beside": ("name", "phone"),
        "fault_beside": BESIDE_FAULTS,
        "fault": tuple(_FAULTS),
        "kill": (*POINTS, *API_POINTS, ANYWHERE, ANYWHERE),
    }.get(kind, ("",))
    return Act(
        kind=kind,
        who=rng.randrange(100),
        what=rng.choice(what),
        value=f"v{number}",
        seconds=rng.choice([0.0, 0.005, 0.02, 0.1, 0.5]),
    )


async def perform(world: World, act: Act, memory: Memory) -> None:
    """Execute an act; an act that is impossible now is skipped."""
    await world.replace_killed()
    for _ in range(_API_ATTEMPTS):
        try:
            await _ACTS[act.kind](world, act, memory)
        except Unavailable:
            # The reaction of a client to 503.
            await asyncio.sleep(0.1)
        else:
            return


def change(act: Act) -> dict[str, Any]:
    """Return the values of an edit."""
    return {"metadata": {"k": act.value}} if act.what == "metadata" else {act.what: act.value}


async def _create(world: World, act: Act, memory: Memory) -> None:
    body = {"name": act.value, "email": f"{act.value}@example.com"}
    created = await world.customers().create(body, correlation_id="simulation")
    memory.local.append(str(created.view["id"]))


async def _create_outside(world: World, act: Act, memory: Memory) -> None:
    created = world.sandbox.dashboard.create({"name": act.value})
    memory.external.append(str(created["id"]))


async def _join(world: World, act: Act, memory: Memory) -> None:
    with suppress(TimeoutError):
        await join(world, memory, planned=act.who % 2 == 0)


async def _edit(world: World, act: Act, memory: Memory) -> None:
    known = [row["id"] for row in await world.rows("SELECT CAST(id AS text) AS id FROM customers")]
    if known:
        record_id = sorted(known)[act.who % len(known)]
        try:
            await world.customers().patch(record_id, change(act), correlation_id="simulation")
            memory.written.append(Written(act.value, "internal", record_id, act.what))
            memory.forget(record_id)
        except NotFound:
            return


async def _edit_outside(world: World, act: Act, memory: Memory) -> None:
    external_id = await _anybody_outside(world, act)
    if external_id is None:
        return
    memory.forget(await _owner(world, external_id))
    # A worker may have deleted the object in the meantime.
    if _is_living(world, external_id):
        world.sandbox.dashboard.update(external_id, change(act))
        # A value from before the join may not have been seen yet.
        memory.outdate("unseen", external_id, act.what)
        memory.written.append(Written(act.value, "external", external_id, act.what))


async def _edit_back(world: World, act: Act, memory: Memory) -> None:
    """Change a field twice, then restore the first value, as an unaware person does."""
    await world.quiet(_QUIET_SECONDS)
    external_id = await _anybody_outside(world, act)
    record_id = await _owner(world, external_id)
    if external_id is None or record_id is None:
        return
    memory.forget(record_id)
    for letter in ("a", "b"):
        edit = replace(act, value=act.value + letter)
        try:
            await world.customers().patch(record_id, change(edit), correlation_id="simulation")
        except NotFound:
            return
        memory.written.append(Written(edit.value, "internal", record_id, act.what))
        if not await world.quiet(_QUIET_SECONDS):
            return
    old, path = f"{act.value}a", "/metadata/k" if act.what == "metadata" else f"/{act.what}"
    known = await _owner(world, external_id) == record_id and not await world.out_of_sync()
    view = await world.runtime.customers.get(record_id) if known else {}
    if _is_living(world, external_id) and flatten(CUSTOMER, view).get(path) == f"{act.value}b":
        world.sandbox.dashboard.update(external_id, change(replace(act, value=old)))
        memory.restored.append(Restored(record_id, path, old))


def _is_living(world: World, external_id: str) -> bool:
    return any(seen["id"] == external_id for seen in world.sandbox.dashboard.living())


async def _owner(world: World, external_id: str | None) -> str | None:
    owner: str | None = await world.scalar(_OWNER, external_id=external_id)
    return owner


async def _delete(world: World, act: Act, _memory: Memory) -> None:
    known = [row["id"] for row in await world.rows("SELECT CAST(id AS text) AS id FROM customers")]
    if known:
        record_id = sorted(known)[act.who % len(known)]
        try:
            await world.customers().delete(record_id, correlation_id="simulation")
        except NotFound:
            return


async def _delete_outside(world: World, act: Act, memory: Memory) -> None:
    external_id = await _anybody_outside(world, act)
    if external_id is not None:
        memory.bin[external_id] = world.sandbox.dashboard.retrieve(external_id)
        world.sandbox.dashboard.delete(external_id)


async def _restore_outside(world: World, act: Act, memory: Memory) -> None:
    """Restore a deleted customer, whom only the story can restore: Stripe cannot."""
    dead = sorted(name for name in memory.bin if not _is_living(world, name))
    if not dead:
        return
    external_id = dead[act.who % len(dead)]
    customer, dashboard = memory.bin[external_id], world.sandbox.dashboard
    catalog = dashboard._catalog
    with dashboard._store.transaction():
        catalog._listing.timeline.add(external_id, customer["created"])
        catalog._keep(customer)
        data = {"object": customer, "previous_attributes": {}}
        catalog._events.emit("customer.updated", DASHBOARD, data)
    memory.forget(await _owner(world, external_id))
    memory.returned.add(external_id)


async def _create_beside(world: World, act: Act, memory: Memory) -> None:
    if world.org is not None:
        memory.external.append(world.org.create(act.value))


async def _edit_beside(world: World, act: Act, memory: Memory) -> None:
    contact = world.org and world.org.anybody(act.who)
    if world.org is None or contact is None:
        return
    memory.forget(await _owner(world, contact))
    if contact in world.org.contacts():
        world.org.edit(contact, act.what, act.value)
        # A feed shows the last state of a contact, so an earlier edit may stay unseen.
        memory.outdate("beside", contact, act.what)
        memory.written.append(Written(act.value, "beside", contact, act.what))


async def _delete_beside(world: World, act: Act, _memory: Memory) -> None:
    contact = world.org and world.org.anybody(act.who)
    if world.org is not None and contact is not None:
        world.org.delete(contact)


async def _fault_beside(world: World, act: Act, memory: Memory) -> None:
    if world.org is not None:
        world.org.break_next(act.what)
        memory.faults += 1


async def _tick(world: World, act: Act, _memory: Memory) -> None:
    world.clock.tick(0.3 + act.seconds)


async def _set_our_clock(world: World, act: Act, _memory: Memory) -> None:
    world.ours.shift = SHIFTS[act.who % len(SHIFTS)]


async def _set_their_clock(world: World, _act: Act, memory: Memory) -> None:
    """Move the clock backwards, once: further than the duration of a story."""
    if not memory.set_back:
        memory.set_back = True
        world.sandbox.shift_clock(world.theirs - 60)


async def _rest(_world: World, act: Act, _memory: Memory) -> None:
    await asyncio.sleep(act.seconds)


async def _calm(world: World, _act: Act, _memory: Memory) -> None:
    """Wait until both sides are equal, so that the next edit is the only change."""
    with suppress(TimeoutError):
        await world.settle(CALM_SECONDS)


async def _fault(world: World, act: Act, memory: Memory) -> None:
    world.sandbox.faults.add(Fault(**_FAULTS[act.what]))
    memory.faults += 1


async def _kill(world: World, act: Act, _memory: Memory) -> None:
    worker = world.workers[act.who % len(world.workers)]
    if act.what == ANYWHERE:
        worker.kill_in(act.seconds)
    elif act.what in API_POINTS:
        world.fatal.add(act.what)
    else:
        worker.kill_at(act.what)


async def _anybody_outside(world: World, act: Act) -> str | None:
    alive = sorted(str(seen["id"]) for seen in world.sandbox.dashboard.living())
    return alive[act.who % len(alive)] if alive else None


_ACTS = {
    "fill_here": fill_here,
    "fill_there": fill_there,
    "join": _join,
    "create": _create,
    "create_outside": _create_outside,
    "edit": _edit,
    "edit_outside": _edit_outside,
    "edit_back": _edit_back,
    "delete": _delete,
    "delete_outside": _delete_outside,
    "restore_outside": _restore_outside,
    "create_beside": _create_beside,
    "edit_beside": _edit_beside,
    "delete_beside": _delete_beside,
    "fault_beside": _fault_beside,
    "tick": _tick,
    "set_our_clock": _set_our_clock,
    "set_their_clock": _set_their_clock,
    "rest": _rest,
    "calm": _calm,
    "fault": _fault,
    "kill": _kill,
}
