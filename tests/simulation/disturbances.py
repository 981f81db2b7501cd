"""Faults of calls and webhooks, kills, wrong clocks, and the passing of time."""

import asyncio
from contextlib import suppress
from typing import Any

from tests.simulation.memory import Act, Memory
from tests.simulation.workers import POINTS
from tests.simulation.world import World
from zenskar_stripe.sandbox import Fault, FaultKind

SHIFTS = (0.0, 5.0, -5.0, 60.0, -60.0)
"""The largest error of a clock in seconds; webhook signatures tolerate a few minutes."""
_ANYWHERE = "anywhere"
_API_POINTS = ("customer.committed", "webhook.received", "webhook.published")
KILLS = (*POINTS, *_API_POINTS, _ANYWHERE, _ANYWHERE)
_CALM_SECONDS = 10.0
_FAULTS: dict[str, dict[str, Any]] = {
    "rate_limited": {"kind": FaultKind.RATE_LIMITED},
    "error": {"kind": FaultKind.SERVER_ERROR, "method": "POST"},
    "error_after": {"kind": FaultKind.SERVER_ERROR, "method": "POST", "effect": True},
    "errors": {"kind": FaultKind.SERVER_ERROR, "method": "POST", "count": 3},
    "refuse": {"kind": FaultKind.REFUSE, "method": "POST"},
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
FAULTS = tuple(_FAULTS)


async def tick(world: World, act: Act, _memory: Memory) -> bool:
    """Advance the time."""
    world.clock.tick(0.3 + act.seconds)
    return True


async def set_our_clock(world: World, act: Act, _memory: Memory) -> bool:
    """Set our clock."""
    world.ours.shift = SHIFTS[act.who % len(SHIFTS)]
    return True


async def set_their_clock(world: World, _act: Act, memory: Memory) -> bool:
    """Move the clock backwards, once: further than the duration of a story."""
    if memory.set_back:
        return False
    memory.set_back = True
    world.sandbox.shift_clock(world.theirs - 60)
    return True


async def rest(_world: World, act: Act, _memory: Memory) -> bool:
    """Wait a moment."""
    await asyncio.sleep(act.seconds)
    return True


async def calm(world: World, _act: Act, _memory: Memory) -> bool:
    """Wait until both sides are equal, so that the next edit is the only change."""
    if world.paused:
        return False
    with suppress(TimeoutError):
        await world.settle(_CALM_SECONDS)
        return True
    return False


async def break_next(world: World, act: Act, memory: Memory) -> bool:
    """Break the next call or webhook.

    A refusal is a dead letter at once, and before a join a dead letter is a question to a person.
    """
    if memory.full and act.what == "refuse":
        return False
    world.sandbox.faults.add(Fault(**_FAULTS[act.what]))
    memory.faults += 1
    return True


async def break_beside(world: World, act: Act, memory: Memory) -> bool:
    """Break the next push to the org beside."""
    if world.org is None:
        return False
    world.org.break_next(act.what)
    memory.faults += 1
    return True


async def kill(world: World, act: Act, _memory: Memory) -> bool:
    """Kill a worker or the API."""
    worker = world.workers[act.who % len(world.workers)]
    if act.what == _ANYWHERE:
        worker.kill_in(act.seconds)
    elif act.what in _API_POINTS:
        world.fatal.add(act.what)
    else:
        worker.kill_at(act.what)
    return True
