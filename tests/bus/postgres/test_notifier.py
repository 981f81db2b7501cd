"""A wait for a wake ends by a wake, by its timeout, or by a cancellation."""

import asyncio
import os
import signal

import asyncpg
import pytest

from tests.support.wait import until
from zenskar.bus.postgres.notifier import _BURST, CHANNEL, Notifier


async def test_a_wait_ends_by_a_wake() -> None:
    notifier = Notifier("postgresql://nowhere")
    waiting = asyncio.create_task(notifier.wait("topic", 60))
    await asyncio.sleep(0)
    notifier.wake_here("topic")
    async with asyncio.timeout(5):
        await waiting


async def test_a_receiver_cancelled_during_a_wake_ends() -> None:
    """Found by the simulation: a worker that was cut off went on for ever."""
    notifier = Notifier("postgresql://nowhere")
    waiting = asyncio.create_task(notifier.wait("topic", 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    notifier.wake_here("topic")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def listeners(database_url: str) -> list[int]:
    """Return the processes of the database that listen for us."""
    connection = await asyncpg.connect(database_url)
    try:
        found = await connection.fetch(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND query ILIKE 'LISTEN %'"
        )
    finally:
        await connection.close()
    return [row["pid"] for row in found]


async def test_a_wake_reaches_another_process_and_only_receivers_listen(
    database_url: str,
) -> None:
    waker, waiter = Notifier(database_url), Notifier(database_url)
    waker.start()
    waiter.start()
    try:
        waiting = asyncio.create_task(waiter.wait("it's a topic", 60))
        async with asyncio.timeout(10):
            await waiting  # What was sent while nobody listened is looked for once.
            waiter.clear("it's a topic")
            assert len(await listeners(database_url)) == 1
            waker.wake("it's a topic")
            await waiter.wait("it's a topic", 60)
        assert len(await listeners(database_url)) == 1
    finally:
        await waker.stop()
        await waiter.stop()


@pytest.mark.parametrize(("together", "told"), [(1, 3), (_BURST, 1)])
async def test_a_burst_is_notified_rarely(
    database_url: str, monkeypatch: pytest.MonkeyPatch, together: int, told: int
) -> None:
    """Each NOTIFY costs a commit; who works off a crowd looks for more without being told."""
    monkeypatch.setattr("zenskar.bus.postgres.notifier._BURST_APART_SECONDS", 3600.0)
    heard = asyncio.Queue[str]()
    connection = await asyncpg.connect(database_url)
    await connection.add_listener(CHANNEL, lambda *notice: heard.put_nowait(notice[3]))
    waker = Notifier(database_url)
    waker.start()
    try:
        for number in range(3):
            waker.wake("topic", together)
            if number < told:
                async with asyncio.timeout(10):
                    assert await heard.get() == "topic"
        # Whatever it would send now goes before what is sent after as many looks of our own.
        for _ in range(100):
            await connection.fetchval("SELECT 1")
        assert heard.empty()
    finally:
        await waker.stop()
        await connection.close()


async def test_a_process_that_only_listens_listens_again(database_url: str) -> None:
    """After a failover, a worker without messages of its own would not be woken again."""
    notifier = Notifier(database_url)
    notifier.start()
    try:
        async with asyncio.timeout(10):
            await notifier.wait("topic", 60)
        (backend,) = await listeners(database_url)
        os.kill(backend, signal.SIGTERM)

        async def listens() -> bool:
            found = await listeners(database_url)
            return bool(found) and backend not in found

        await until(listens, 10)
    finally:
        await notifier.stop()


async def test_the_notifier_stops_while_the_database_hangs(database_url: str) -> None:
    """Found by the simulation: the connection was not closed in time, and a new one was opened."""
    notifier = Notifier(database_url)
    notifier.start()
    async with asyncio.timeout(10):
        await notifier.wait("topic", 60)
    (backend,) = await listeners(database_url)

    async def sent() -> bool:
        return not notifier._unsent

    os.kill(backend, signal.SIGSTOP)
    try:
        notifier.wake("topic")
        await until(sent, 10)
        async with asyncio.timeout(5):
            await notifier.stop()
    finally:
        os.kill(backend, signal.SIGCONT)
