"""A wait for a connection of the pool is measured, and nothing else is."""

import asyncio

import pytest

from zenskar.db.driver.engine import connected, create_engine, ping
from zenskar.errors import Unavailable


async def test_a_wait_is_measured_until_a_connection_is_free(database_url: str) -> None:
    waits: list[float] = []
    engine = create_engine(database_url, pool_size=1, waited=waits.append)
    async with connected(engine):
        waiting = asyncio.create_task(ping(engine))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
    await waiting
    await ping(engine)
    await engine.dispose()
    (wait,) = waits
    assert wait >= 0.04


async def test_a_wait_without_a_free_connection_is_measured_too(database_url: str) -> None:
    waits: list[float] = []
    engine = create_engine(database_url, pool_size=1, waited=waits.append)
    async with connected(engine):
        # Not before: the same time limits the first connection.
        engine.pool._timeout = 0.05
        with pytest.raises(Unavailable):
            await ping(engine)
    await engine.dispose()
    assert len(waits) == 1
