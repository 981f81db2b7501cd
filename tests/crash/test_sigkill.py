"""After SIGKILL at any point and a restart, nothing is lost and nothing is there twice."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.simulation.invariants import breaches
from tests.simulation.story import Act, Memory, perform
from tests.simulation.workers import POINTS
from tests.simulation.world import World, open_world
from tests.support.wait import until

ROOT = Path(__file__).parent.parent.parent
DEADLINE_SECONDS = 40.0

STORY = (
    Act("create", value="v1"),
    Act("create_outside", value="v2"),
    Act("create", value="v3"),
    Act("edit_outside", who=0, what="name", value="v4"),
)


async def start(world: World, point: str) -> asyncio.subprocess.Process:
    database = world.settings.database_url
    assert database is not None
    lease = {"ZENSKAR_CLAIM_LEASE_SECONDS": "0.6", "ZENSKAR_INTENT_LEASE_SECONDS": "0.6"}
    environment = os.environ | world.environment | lease
    environment["ZENSKAR_DATABASE_URL"] = database.get_secret_value()
    environment["ZENSKAR_LOG_LEVEL"] = "error"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.crash.victim", point, cwd=ROOT, env=environment
    )


async def returncode(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await process.wait()


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_worker_loses_nothing(database_url: str, point: str) -> None:
    memory = Memory()
    async with open_world(database_url, seed=1, workers=0) as world:
        for act in STORY:
            await perform(world, act, memory)
        assert await returncode(await start(world, point)) == -signal.SIGKILL
        world.workers.append(await world.start_worker())
        await world.settle(DEADLINE_SECONDS)
        assert await breaches(world, memory) == []
        assert len(world.sandbox.dashboard.living()) == 3


async def test_sigterm_ends_what_is_under_way_within_the_grace_period(database_url: str) -> None:
    memory = Memory()
    async with open_world(database_url, seed=1, workers=0) as world:
        for act in STORY:
            await perform(world, act, memory)
        process = await start(world, "nowhere")
        await until(lambda: world.scalar("SELECT count(*) FROM push_intents"), DEADLINE_SECONDS)
        process.send_signal(signal.SIGTERM)
        assert await returncode(process) == 0
        assert await world.scalar("SELECT count(*) FROM push_intents WHERE state = 'sent'") == 0
        world.workers.append(await world.start_worker())
        await world.settle(DEADLINE_SECONDS)
        assert await breaches(world, memory) == []
