"""A worker drains, lives through outages, and says that it lives."""

import asyncio
from pathlib import Path

from tests.support.flow import DEADLINE_SECONDS, Flow, open_flow
from tests.support.postgres import Gate
from tests.support.wait import until
from zenskar import Push
from zenskar.db import workers
from zenskar.errors import Unavailable
from zenskar.plugins.invoker import Timing


async def start(flow: Flow, stopping: asyncio.Event) -> "asyncio.Task[None]":
    task = asyncio.create_task(flow.runtime.worker().run(stopping))
    await until(lambda: alive(flow))
    return task


async def alive(flow: Flow) -> int:
    async with flow.runtime.engine.connect() as db:
        return await workers.alive(db, 15)


async def test_a_worker_says_that_it_lives_and_that_it_stops(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        stopping = asyncio.Event()
        worker = await start(flow, stopping)
        stopping.set()
        await worker
        assert await alive(flow) == 0


async def test_a_call_under_way_is_finished_before_the_worker_stops(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        system = flow.systems["fake"]
        sent, go_on = asyncio.Event(), asyncio.Event()

        async def wait(_push: Push) -> None:
            sent.set()
            await go_on.wait()

        system.on_the_way = wait
        stopping = asyncio.Event()
        worker = await start(flow, stopping)
        await flow.create()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await sent.wait()
        stopping.set()
        go_on.set()
        await worker
        assert await flow.scalar("SELECT status FROM sync_events") == "succeeded"


async def test_a_call_that_outlasts_the_grace_period_is_cut_off(database_url: str) -> None:
    async with open_flow(database_url, working=False, shutdown_grace_seconds=0.05) as flow:
        sent, never = asyncio.Event(), asyncio.Event()

        async def hang(_push: Push) -> None:
            sent.set()
            await never.wait()

        flow.systems["fake"].on_the_way_back = hang
        stopping = asyncio.Event()
        worker = await start(flow, stopping)
        await flow.create()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await sent.wait()
            stopping.set()
            await worker
        assert await flow.scalar("SELECT state FROM push_intents") == "sent"
        assert await flow.scalar("SELECT count(*) FROM outbox") == 1


async def test_a_worker_lives_through_a_database_that_goes_away(
    database_url: str, tmp_path: Path
) -> None:
    gate = Gate(database_url, tmp_path)
    await gate.open()
    async with open_flow(gate.url) as flow:
        await flow.create(name="Before")
        await flow.settle()
        await gate.close()
        await gate.open()
        await until(lambda: created(flow))
        await flow.settle()
    await gate.close()


async def created(flow: Flow) -> bool:
    """Try until the database is there again."""
    try:
        await flow.create(name="After")
    except (Unavailable, OSError):
        return False
    return True


async def test_a_worker_tells_how_far_external_clocks_are_from_ours(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        context = flow.runtime.context
        now = context.clock()
        timing = Timing(now, now, 0.0, context.monotonic())
        context.clocks.date("fake", timing, int(timing.received) - 60)
        stopping = asyncio.Event()
        worker = await start(flow, stopping)
        stopping.set()
        await worker
        offset = await flow.scalar("SELECT clock_offset_low FROM connections WHERE name = 'fake'")
        assert -62e6 < offset <= -60e6
