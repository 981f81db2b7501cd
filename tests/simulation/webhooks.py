"""Webhooks that are lost permanently, and old webhooks that are sent again."""

from typing import Any

from tests.simulation.memory import Act, Loss, Memory
from tests.simulation.world import OPEN, World
from zenskar.http.lookalike.outstanding import DeliveryState

LOSSES = tuple(Loss)
AGES = {"now": 0.0, "minutes": 600.0, "weeks": 21 * 86_400.0}
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


async def resend(world: World, act: Act, _memory: Memory) -> bool:
    """Deliver the webhook of an old event, after minutes or weeks without a change."""
    if not world.sandbox.events:
        return False
    if seconds := AGES[act.what]:
        # A push without an answer would lose its key at Stripe, but not its age here.
        if not await world.quiet(_QUIET_SECONDS) or await world.scalar(OPEN):
            return False
        world.clock.tick(seconds)
    events = world.sandbox.events
    world.sandbox.running.deliveries.publish(events[act.who % len(events)])
    return True
