"""A transaction ends for the reason that it ended, and leaves no connection that is half used."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db.engine import by_keys, create_engine, in_transaction, transaction
from zenskar.db.statements import driver
from zenskar.errors import Unavailable

PID, SLEEP = text("SELECT pg_backend_pid()"), text("SELECT pg_sleep(60)")


@pytest.fixture
async def alone(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with one connection."""
    engine = create_engine(database_url, pool_size=1)
    yield engine
    await engine.dispose()


async def begin_to_sleep(engine: AsyncEngine) -> tuple[asyncio.Task[None], int]:
    """Have a transaction sleep in a task; return the task and the server's process."""
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def sleep(connection: AsyncConnection) -> None:
        begun.set_result((await connection.execute(PID)).scalar_one())
        await connection.execute(SLEEP)

    task = asyncio.create_task(in_transaction(engine, sleep))
    return task, await begun


async def end(database_url: str, pid: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SELECT pg_terminate_backend($1)", pid)
    finally:
        await connection.close()


async def test_a_cancellation_that_meets_the_end_of_the_connection_is_not_lost(
    alone: AsyncEngine, database_url: str
) -> None:
    """It would become an outage, after which a worker that was cut off goes on."""
    for _ in range(5):
        task, pid = await begin_to_sleep(alone)
        task.cancel()
        await end(database_url, pid)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_connection_that_ended_is_an_outage_and_the_next_one_works(
    alone: AsyncEngine, database_url: str
) -> None:
    task, pid = await begin_to_sleep(alone)
    await end(database_url, pid)
    with pytest.raises(Unavailable):
        await task
    async with transaction(alone) as connection:
        assert (await connection.execute(PID)).scalar_one() != pid


async def test_a_connection_is_not_used_again_inside_of_an_old_transaction(
    alone: AsyncEngine,
) -> None:
    async with alone.connect() as connection:
        pid = (await connection.execute(PID)).scalar_one()
        await driver(connection).transaction().start()
    async with transaction(alone) as connection:
        assert (await connection.execute(PID)).scalar_one() != pid


async def test_what_is_set_to_find_rows_by_keys_ends_with_the_transaction(
    alone: AsyncEngine,
) -> None:
    async def planning(connection: AsyncConnection) -> tuple[str, str]:
        opened = driver(connection)
        return (
            await opened.fetchval("SHOW plan_cache_mode"),
            await opened.fetchval("SHOW enable_seqscan"),
        )

    assert await by_keys(alone, planning) == ("force_generic_plan", "off")
    assert await in_transaction(alone, planning) == ("force_custom_plan", "on")


async def test_jsonb_is_read_as_what_it_says(alone: AsyncEngine) -> None:
    document = text("""SELECT CAST('{"city": "Zürich", "n": [1, null]}' AS jsonb)""")
    async with transaction(alone) as connection:
        read = (await connection.execute(document)).scalar_one()
    assert read == {"city": "Zürich", "n": [1, None]}


async def test_the_connection_that_was_used_last_is_used_next(engine: AsyncEngine) -> None:
    async with transaction(engine) as first, transaction(engine) as second:
        pids = [(await each.execute(PID)).scalar_one() for each in (first, second)]
    assert len(set(pids)) == 2
    again = []
    for _ in range(3):
        async with transaction(engine) as connection:
            again.append((await connection.execute(PID)).scalar_one())
    # The second one was given back first.
    assert again == [pids[0]] * 3
