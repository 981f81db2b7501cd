"""Webhooks that are lost permanently, and old webhooks that are sent again."""

from dataclasses import replace
from typing import Any

from tests.simulation import edits, lives
from tests.simulation.memory import Act, Loss, Memory
from tests.simulation.world import OPEN, World
from zenskar.http.lookalike.outstanding import DeliveryState

LOSSES = tuple(Loss)
AGES = {"now": 0.0, "minutes": 600.0, "weeks": 21 * 86_400.0}
DRIFTS = ("edit", "edit", "delete", "create")
LATE = ("minutes", "minutes", "weeks")
_LONGEST_SECONDS = 28 * 86_400.0
"""Less time than the feed keeps an event whose webhooks have failed."""
_CREATED_UNHEARD = 3
_QUIET_SECONDS = 3.0


async def lose(world: World, act: Act, memory: Memory) -> bool:
    """Lose every webhook from now on, until `hear`."""
    loss, events = Loss(act.what), world.sandbox.running.events

    def lost(event: dict[str, Any]) -> None:
        memory.effects[f"lose {loss}"] += 1
        memory.unlisted |= loss is Loss.UNLISTED
        for endpoint in world.sandbox.webhook_endpoints():
            if loss is Loss.FAILED:
                events.outstanding.mark(event["id"], endpoint.id, DeliveryState.FAILED)
            else:
                events.outstanding.done(event["id"], endpoint.id)

    world.loss, events.published = loss, lost
    return False


async def hear(world: World, _act: Act, _memory: Memory) -> bool:
    """Deliver the webhooks of later events again."""
    heard = world.loss is not None
    running = world.sandbox.running
    world.loss, running.events.published = None, running.deliveries.publish
    return heard


async def resend(world: World, act: Act, memory: Memory) -> bool:
    """Deliver the webhook of an old event, after minutes or weeks without a change."""
    if not world.sandbox.events:
        return False
    if not await _wait(world, act, memory):
        return False
    events = world.sandbox.events
    world.sandbox.running.deliveries.publish(events[act.who % len(events)])
    return True


async def drift(world: World, act: Act, memory: Memory) -> bool:
    """Change something outside without an event, so that only a repair or a backfill finds it."""
    if not memory.joined:
        return False
    before, published = world.loss, world.sandbox.running.events.published
    await lose(world, replace(act, what=Loss.UNLISTED), memory)
    try:
        if act.what == "edit":
            return await edits.edit_outside(world, replace(act, what="name"), memory)
        if act.what == "delete":
            return await lives.delete_outside(world, act, memory)
        # The list begins with the last one.
        for number in range(_CREATED_UNHEARD):
            one = replace(act, value=f"{act.value}n{number}")
            await lives.create_outside(world, one, memory)
        return True
    finally:
        world.loss, world.sandbox.running.events.published = before, published


async def ghost(world: World, act: Act, memory: Memory) -> bool:
    """Create and delete an object that nobody hears of, and deliver its first webhook late."""
    if world.loss is not None or not memory.joined:
        return False
    known = len(memory.external)
    await lose(world, replace(act, what=Loss.UNLISTED), memory)
    first = len(world.sandbox.events)
    await lives.create_outside(world, act, memory)
    (external_id,) = memory.external[known:]
    created = next(e for e in world.sandbox.events[first:] if e["type"] == "customer.created")
    world.sandbox.dashboard.delete(external_id)
    await hear(world, act, memory)
    if not await _wait(world, act, memory):
        return False
    world.sandbox.running.deliveries.publish(created)
    memory.ghosts.add(external_id)
    return True


async def _wait(world: World, act: Act, memory: Memory) -> bool:
    """Advance the clock at rest; return whether that was possible."""
    if seconds := AGES[act.what]:
        if memory.waited + seconds > _LONGEST_SECONDS:
            return False
        # A push without an answer would lose its key at Stripe, but not its age here.
        if not await world.quiet(_QUIET_SECONDS) or await world.scalar(OPEN):
            return False
        memory.waited += seconds
        world.clock.tick(seconds)
    return True
