"""A kept statement has the same connection until that is of no use."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.wait import until
from zenskar.db.driver.engine import create_engine
from zenskar.db.driver.prepared import DedicatedStatement
from zenskar.db.driver.statements import driver, statement
from zenskar.errors import Unavailable

NOTE = statement("""
    INSERT INTO noted (backend, planning, quotient)
    VALUES (pg_backend_pid(), current_setting('plan_cache_mode'), 1 / CAST(:divisor AS integer))
""")
WAITING = """
    SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database
    WHERE NOT granted AND relation = CAST('noted' AS regclass) AND datname = current_database()
"""
FINE, IMPOSSIBLE = {"divisor": 1}, {"divisor": 0}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    await opened.execute("CREATE TABLE noted (backend integer, planning text, quotient integer)")
    yield opened
    await opened.close()


@pytest.fixture
async def kept(engine: AsyncEngine) -> AsyncIterator[DedicatedStatement]:
    kept = DedicatedStatement(engine, NOTE)
    yield kept
    await kept.close()


async def backends(database: asyncpg.Connection) -> list[int]:
    return [row["backend"] for row in await database.fetch("SELECT backend FROM noted")]


async def test_the_connection_is_the_same_each_time(
    kept: DedicatedStatement, database: asyncpg.Connection
) -> None:
    await kept.run(FINE)
    await kept.run(FINE)
    first, second = await backends(database)
    assert first == second


async def test_it_is_opened_again_when_the_database_ended_it(
    engine: AsyncEngine, kept: DedicatedStatement, database: asyncpg.Connection
) -> None:
    ended = asyncio.Event()

    def watch(connection: Any, _record: Any) -> None:
        connection.driver_connection.add_termination_listener(lambda _closed: ended.set())

    event.listen(engine.sync_engine, "connect", watch)
    await kept.run(FINE)
    (first,) = await backends(database)
    await database.execute("SELECT pg_terminate_backend($1)", first)
    async with asyncio.timeout(10):
        await ended.wait()
    await kept.run(FINE)
    assert (await backends(database))[-1] != first


async def test_after_an_error_the_next_use_has_another_one(
    kept: DedicatedStatement, database: asyncpg.Connection
) -> None:
    await kept.run(FINE)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await kept.run(IMPOSSIBLE)
    await kept.run(FINE)
    first, second = await backends(database)
    assert first != second


async def test_one_that_is_cancelled_leaves_no_connection_behind(
    kept: DedicatedStatement, database: asyncpg.Connection
) -> None:
    await kept.run(FINE)
    async with database.transaction():
        await database.execute("LOCK TABLE noted")
        running = asyncio.create_task(kept.run(FINE))
        await until(lambda: database.fetchval(WAITING))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    await kept.run(FINE)
    first, second = await backends(database)
    assert first != second


async def test_what_it_sets_stays_with_it(database_url: str, database: asyncpg.Connection) -> None:
    engine = create_engine(database_url, pool_size=1)
    kept = DedicatedStatement(engine, NOTE)
    await kept.run(FINE)
    await kept.close()
    async with engine.connect() as db:
        planning = await driver(db).fetchval("SHOW plan_cache_mode")
    await engine.dispose()
    assert planning == "force_custom_plan"
    assert await database.fetchval("SELECT planning FROM noted") == "force_generic_plan"


async def test_a_database_that_is_away_is_an_outage() -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/none", pool_size=1)
    with pytest.raises(Unavailable):
        await DedicatedStatement(engine, NOTE).run(FINE)
    await engine.dispose()
