"""A kept connection is the same one until it is of no use."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db.engine import create_engine
from zenskar.db.kept import KeptConnection
from zenskar.db.statements import driver
from zenskar.errors import Unavailable


@pytest.fixture
async def kept(engine: AsyncEngine) -> AsyncIterator[KeptConnection]:
    kept = KeptConnection(engine)
    yield kept
    await kept.close()


async def backend(connection: AsyncConnection) -> int:
    return int(await driver(connection).fetchval("SELECT pg_backend_pid()"))


async def test_it_is_the_same_each_time(kept: KeptConnection) -> None:
    assert await kept.run(backend) == await kept.run(backend)


async def test_it_is_opened_again_when_the_database_ended_it(
    kept: KeptConnection, database_url: str
) -> None:
    first = await kept.run(backend)
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_terminate_backend($1)", first)
    await other.close()
    async with asyncio.timeout(10):
        while (second := await _backend_if_there_is_one(kept)) is None:
            await asyncio.sleep(0)
    assert second != first


async def _backend_if_there_is_one(kept: KeptConnection) -> int | None:
    try:
        return await kept.run(backend)
    except Unavailable:
        return None


async def test_after_an_error_the_next_use_has_another_one(kept: KeptConnection) -> None:
    async def fail(connection: AsyncConnection) -> int:
        return int(await driver(connection).fetchval("SELECT 1 / 0"))

    first = await kept.run(backend)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await kept.run(fail)
    assert await kept.run(backend) != first


async def test_what_it_sets_stays_with_it(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)

    async def planning(connection: AsyncConnection) -> str:
        return str(await driver(connection).fetchval("SHOW plan_cache_mode"))

    first = KeptConnection(engine)
    assert await first.run(planning) == "force_generic_plan"
    await first.close()
    async with engine.connect() as connection:
        assert await planning(connection) == "force_custom_plan"
    await engine.dispose()


async def test_a_database_that_is_away_is_an_outage() -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/none", pool_size=1)
    kept = KeptConnection(engine)
    with pytest.raises(Unavailable):
        await kept.run(backend)
    await engine.dispose()
