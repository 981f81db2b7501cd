"""Acts of people on a running system."""

from tests.drill.fault import Fault
from tests.drill.scene import Scene


async def pause(scene: Scene) -> None:
    """Pause the connection, and forget it."""
    await scene.command("connections", "pause", "stripe")
    scene.commands.clear()


async def resume(scene: Scene) -> None:
    """Resume the connection."""
    await scene.command("connections", "resume", "stripe")


FAULTS = (
    Fault(
        "forgotten pause",
        pause,
        alert="ZenskarPausedByOperator",
        within_seconds=120,
        heal=resume,
        also=frozenset({"ZenskarOutboundSlow"}),
    ),
)
