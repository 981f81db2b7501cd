"""The acts of an operator: pause, resume, undelete, retry, poll."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from tests.simulation.memory import Act, Memory
from tests.simulation.world import World
from zenskar.db import polls
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import CallFailed, NotFound, StateConflict, Unavailable
from zenskar.model.actor import Actor
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.ops import connections, dead_letters
from zenskar.ops.connections import ResumeRequest

T = TypeVar("T")
TICK_SECONDS = 0.05
OPERATOR = Actor("ada", "the simulation")
PAUSES = ("now", "outbound.stored_intent", "outbound.called", "outbound.stored_answer")
"""The times of a pause: at once, or between two steps of the next push."""
STRIPE, CUSTOMER = "stripe", "customer"
_BRIEF_SECONDS = 5.0
_ROUNDS = 4
_DELETED = "SELECT CAST(id AS text) AS id FROM customers WHERE deleted_at IS NOT NULL"
_LIVING = _DELETED.replace("IS NOT NULL", "IS NULL")
DEAD = "SELECT count(*) FROM sync_events WHERE status = 'dead'"


async def pause_connection(world: World) -> None:
    """Pause the connection, as an operator does."""
    broadcaster = world.runtime.context.broadcaster
    # Set first, so that a resumption waits for this pause, whose worker may be killed.
    world.paused = True
    async with world.operator:
        await in_transaction(
            world.runtime.engine, lambda c: connections.pause(c, STRIPE, OPERATOR, broadcaster)
        )


async def resume_connection(world: World) -> None:
    """Resume the connection, as an operator does."""
    context = world.runtime.context
    request, broadcaster = ResumeRequest(), context.broadcaster
    async with world.operator:
        await in_transaction(
            world.runtime.engine,
            lambda c: connections.resume(c, STRIPE, OPERATOR, request, broadcaster),
        )
    world.paused = False
    for topic in (OUTBOUND, INBOUND):
        context.wake(topic)


async def pause(world: World, act: Act, memory: Memory) -> bool:
    """Pause the connection at once, or at a step of the next push."""
    if not memory.joined or world.paused:
        return False
    if act.what == "now":
        await pause_connection(world)
        return True

    async def pause_there() -> None:
        if not world.paused:
            await pause_connection(world)
            memory.effects[f"pause {act.what}"] += 1

    for worker in world.workers:
        worker.interrupt_at(act.what, pause_there)
    return False


async def resume(world: World, _act: Act, memory: Memory) -> bool:
    """Resume the connection."""
    if not memory.joined or not world.paused:
        return False
    await resume_connection(world)
    return True


async def undelete(world: World, act: Act, memory: Memory) -> bool:
    """Undelete a record, which the same act deletes if no record is deleted."""
    if not memory.joined or memory.full:
        return False
    known = sorted(row["id"] for row in await world.rows(_DELETED))
    if not known:
        known = sorted(row["id"] for row in await world.rows(_LIVING))[:1]
        for record_id in known:
            with suppress(NotFound):
                await world.customers().delete(record_id, correlation_id="simulation")
        await asyncio.sleep(act.seconds)
    if not known:
        return False
    record_id = known[act.who % len(known)]
    undeleter = world.runtime.operations().undeleter()
    for _ in range(_ROUNDS):
        with suppress(NotFound, StateConflict, CallFailed):
            links = await undeleter.undelete(CUSTOMER, record_id, OPERATOR, "simulation")
            break
        await asyncio.sleep(TICK_SECONDS)
    else:
        return False
    memory.forget(record_id)
    for link in links:
        memory.hide(link.external_id)
        memory.effects[f"undelete {link.state}"] += 1
    return True


async def retry_dead(world: World, _act: Act, _memory: Memory) -> bool:
    """Retry all dead letters."""
    wanted = dead_letters.only_dead(EventFilter())
    acted = await dead_letters.act(
        world.runtime.replay, wanted, lambda r, w, by: r.retry(w, by), OPERATOR, dry_run=False
    )
    return acted.done > 0


async def poll(world: World, _act: Act, _memory: Memory) -> bool:
    """Request a poll of the feed."""
    await world.runtime.operations().prompter().poll(STRIPE, OPERATOR)
    return True


async def retry_all(world: World, act: Act, memory: Memory, patience: float) -> None:
    """Retry dead letters until there is none, a few times."""
    for _ in range(_ROUNDS):
        if not await world.scalar(DEAD):
            return
        memory.effects["retry at the end"] += await retry_dead(world, act, memory)
        await world.settle(patience)


async def read_feed(world: World, patience: float) -> None:
    """Request two polls and wait for both: one may have begun before its request."""
    for _ in range(2):
        before = await _polled_at(world)
        async with asyncio.timeout(patience):
            while await _polled_at(world) == before:
                await poll(world, Act("poll"), Memory())
                world.clock.tick(TICK_SECONDS)
                await world.replace_killed()
                await asyncio.sleep(TICK_SECONDS)


async def _polled_at(world: World) -> object:
    known = await in_transaction(world.runtime.engine, polls.read)
    return known[STRIPE].polled_at if STRIPE in known else None


async def briefly(
    world: World, operation: Awaitable[T], patience: float = _BRIEF_SECONDS
) -> T | None:
    """Return the result of an operation that an operator stops if it lasts too long."""
    with suppress(StateConflict, CallFailed, Unavailable, TimeoutError):
        async with asyncio.timeout(patience):
            return await meanwhile(world, operation)
    return None


async def meanwhile(world: World, operation: Awaitable[T]) -> T:
    """Return the result of an operation, while time passes and workers die."""
    task = asyncio.ensure_future(operation)
    try:
        while not task.done():
            world.clock.tick(TICK_SECONDS)
            await world.replace_killed()
            await asyncio.wait([task], timeout=TICK_SECONDS)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    return await task
