"""After SIGKILL at any failpoint and a restart, nothing is lost and nothing exists twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.crash.processes import DEADLINE_SECONDS, NOWHERE, returncode, victim
from tests.simulation.invariants import breaches
from tests.simulation.memory import Act, Memory
from tests.simulation.story import perform
from tests.simulation.workers import POINTS
from tests.simulation.world import World, open_world
from tests.support.wait import until
from zenskar_stripe.sandbox import Fault, FaultKind

STORY = (
    Act("create", value="v1"),
    Act("create_outside", value="v2"),
    Act("create", value="v3"),
    Act("edit_outside", who=0, what="name", value="v4"),
)
LEASES_OVER = "UPDATE push_intents SET lease_until = now() WHERE lease_until IS NOT NULL"
SENT = "SELECT count(*) FROM push_intents WHERE state = 'sent'"


@asynccontextmanager
async def world_after_story(database_url: str, memory: Memory) -> AsyncIterator[World]:
    """A world after its story, before any worker ran."""
    async with open_world(database_url, seed=1, workers=0) as world:
        for act in STORY:
            await perform(world, act, memory)
        yield world


async def recover(world: World, memory: Memory) -> None:
    """Run another worker, and check the result.

    The leases of the killed worker have expired: the test shortens them, so that it need not wait.
    """
    async with world.runtime.engine.begin() as db:
        await db.exec_driver_sql(LEASES_OVER)
    world.workers.append(await world.start_worker())
    await world.settle(DEADLINE_SECONDS)
    assert await breaches(world, memory) == []
    assert len(world.sandbox.dashboard.living()) == 3


def slow(world: World, memory: Memory, kind: FaultKind, seconds: float) -> None:
    """Delay the calls of pushes."""
    world.sandbox.faults.add(
        Fault(kind=kind, method="POST", delay_seconds=seconds, count=None, probability=1.0)
    )
    memory.faults += 10


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_worker_loses_nothing(database_url: str, point: str) -> None:
    memory = Memory()
    async with world_after_story(database_url, memory) as world:
        if point == "outbound.failed":
            world.sandbox.faults.add(Fault(kind=FaultKind.SERVER_ERROR, method="POST", effect=True))
            memory.faults += 1
        async with victim(world, "worker", point) as process:
            assert await returncode(process) == -signal.SIGKILL
        await recover(world, memory)


@pytest.mark.parametrize("point", ["poll.published"])
async def test_a_killed_poll_loses_nothing(database_url: str, point: str) -> None:
    """The poll returns the events of delayed webhooks, and is killed before its checkpoint."""
    memory = Memory()
    async with world_after_story(database_url, memory) as world:
        late = Fault(kind=FaultKind.WEBHOOK_DELAY, delay_seconds=6.0, count=2)
        world.sandbox.faults.add(late)
        await perform(world, Act("edit_outside", who=0, what="name", value="v5"), memory)
        async with victim(world, "scheduler", point) as process:
            assert await returncode(process) == -signal.SIGKILL
        checkpoint = "SELECT state ->> 'checkpoint' FROM schedules WHERE name = 'poll:stripe'"
        assert await world.scalar(checkpoint) is None
        await recover(world, memory)


@pytest.mark.parametrize("kind", [FaultKind.DELAY, FaultKind.ZOMBIE])
async def test_a_worker_killed_in_mid_call_loses_nothing(
    database_url: str, kind: FaultKind
) -> None:
    """The call may have been executed, or be executed after another worker resumed the push."""
    memory = Memory()
    async with world_after_story(database_url, memory) as world:
        slow(world, memory, kind, 0.5)
        async with victim(world, "worker", NOWHERE) as process:
            await until(lambda: world.scalar(SENT), DEADLINE_SECONDS)
            process.kill()
            assert await returncode(process) == -signal.SIGKILL
        await recover(world, memory)


async def test_sigterm_lets_the_calls_that_are_under_way_finish(database_url: str) -> None:
    memory = Memory()
    async with world_after_story(database_url, memory) as world:
        slow(world, memory, FaultKind.DELAY, 1.0)
        async with victim(world, "worker", NOWHERE) as process:
            await until(lambda: world.scalar(SENT), DEADLINE_SECONDS)
            process.send_signal(signal.SIGTERM)
            assert await returncode(process) == 0
        assert await world.scalar(SENT) == 0
        answered = "SELECT count(*) FROM push_intents WHERE state = 'answered'"
        assert await world.scalar(answered) > 0
        assert await world.scalar("SELECT count(*) FROM outbox WHERE claimed_until > now()") == 0
        await recover(world, memory)


async def test_sigterm_releases_a_call_that_outlasts_the_grace_period(database_url: str) -> None:
    memory = Memory()
    async with world_after_story(database_url, memory) as world:
        slow(world, memory, FaultKind.DELAY, 20.0)
        grace = {"ZENSKAR_SHUTDOWN_GRACE_SECONDS": "0.5", "ZENSKAR_CLAIM_LEASE_SECONDS": "600"}
        async with victim(world, "worker", NOWHERE, **grace) as process:
            await until(lambda: world.scalar(SENT), DEADLINE_SECONDS)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                assert await process.wait() == 0
        assert await world.scalar(SENT) > 0
        assert await world.scalar("SELECT count(*) FROM outbox WHERE claimed_until > now()") == 0
        await recover(world, memory)
