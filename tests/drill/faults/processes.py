"""Faults of our own processes."""

import asyncio

from tests.drill.fault import Fault
from tests.drill.scene import WORKERS, Scene


async def kill_worker(scene: Scene) -> None:
    """Kill a worker that nothing starts again."""
    await scene.topology.kill_worker(WORKERS[0])


async def start_worker(scene: Scene) -> None:
    """Start the worker, as `docker compose up -d` does."""
    await scene.topology.start_worker(WORKERS[0])


async def kill_workers(scene: Scene) -> None:
    """Kill all workers."""
    await asyncio.gather(*map(scene.topology.kill_worker, WORKERS))


async def start_workers(scene: Scene) -> None:
    """Start all workers, as `docker compose up -d zenskar-worker` does."""
    await asyncio.gather(*map(scene.topology.start_worker, WORKERS))


async def freeze_worker(scene: Scene) -> None:
    """Freeze a worker for longer than its leases last."""
    scene.topology.workers[WORKERS[0]].pause()


async def thaw_worker(scene: Scene) -> None:
    """Continue the worker, which then holds claims and messages of long ago."""
    scene.topology.workers[WORKERS[0]].resume()


async def restart_all(scene: Scene) -> None:
    """Restart all processes one after the other, as a deployment does."""
    await scene.restart()


_BEHIND_WORKERS = frozenset(
    {
        *("ZenskarTargetDown", "ZenskarOutboxOld", "ZenskarBacklogOld"),
        *("ZenskarOutboundSlow", "ZenskarConsumerStuck"),
    }
)
"""The alerts of missing workers, and of the work that waits for them."""

FAULTS = (
    Fault("worker killed", kill_worker, alert="ZenskarTargetDown", heal=start_worker),
    Fault(
        "all workers killed",
        kill_workers,
        alert="ZenskarNoWorker",
        heal=start_workers,
        also=_BEHIND_WORKERS,
    ),
    Fault(
        "worker frozen",
        freeze_worker,
        alert="ZenskarTargetDown",
        end=thaw_worker,
        also=frozenset({"ZenskarOutboundSlow"}),
    ),
    Fault("rolling restart", restart_all),
)
