"""Faults of our own processes."""

from tests.drill.fault import Fault
from tests.drill.scene import WORKERS, Scene


async def kill_worker(scene: Scene) -> None:
    """Kill a worker that nothing starts again."""
    await scene.topology.kill_worker(WORKERS[0])


async def start_worker(scene: Scene) -> None:
    """Start the worker, as `docker compose up -d` does."""
    await scene.topology.start_worker(WORKERS[0])


FAULTS = (Fault("worker killed", kill_worker, alert="ZenskarTargetDown", heal=start_worker),)
