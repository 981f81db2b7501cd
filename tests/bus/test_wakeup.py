"""Waiting for a wake ends by a wake, by time, or by the end of whoever waits."""

import asyncio

import asyncpg
import pytest

from zenskar.bus.wakeup import Wakeup


async def test_a_wait_ends_by_a_wake() -> None:
    wakeup = Wakeup("postgresql://nowhere")
    waiting = asyncio.create_task(wakeup.wait("topic", 60))
    await asyncio.sleep(0)
    wakeup.wake_here("topic")
    async with asyncio.timeout(5):
        await waiting


async def test_a_waiter_that_is_cancelled_while_it_is_woken_ends() -> None:
    """Found by the simulation: a worker that was cut off went on for ever."""
    wakeup = Wakeup("postgresql://nowhere")
    waiting = asyncio.create_task(wakeup.wait("topic", 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    wakeup.wake_here("topic")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def listeners(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query ILIKE 'LISTEN %'"
        )
    finally:
        await connection.close()
    return found


async def test_a_wake_reaches_another_process_and_only_who_waits_listens(
    database_url: str,
) -> None:
    waker, waiter = Wakeup(database_url), Wakeup(database_url)
    waker.start()
    waiter.start()
    try:
        waiting = asyncio.create_task(waiter.wait("it's a topic", 60))
        async with asyncio.timeout(10):
            await waiting  # What was sent while nobody listened is looked for once.
            waiter.clear("it's a topic")
            assert await listeners(database_url) == 1
            waker.wake("it's a topic")
            await waiter.wait("it's a topic", 60)
        assert await listeners(database_url) == 1
    finally:
        await waker.stop()
        await waiter.stop()
