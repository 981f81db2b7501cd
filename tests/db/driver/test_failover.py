"""A standby takes over: its primary is killed, or stays and refuses writes."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.kafka.postgres import Server, open_server, open_standby
from tests.support.wait import until
from zenskar.db.driver.engine import create_engine, in_transaction
from zenskar.errors import Unavailable

KEPT = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) = 0 FROM pg_stat_replication"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Server, Server]]:
    """A primary and its standby, in a folder that PostgreSQL's own account can reach."""
    with tempfile.TemporaryDirectory(prefix="standby-") as name:
        folder = Path(name)
        open_to_the_server(folder)
        async with open_server(folder) as primary, open_standby(primary, folder) as standby:
            yield primary, standby


def open_to_the_server(folder: Path) -> None:
    folder.chmod(0o711)


@pytest.fixture
async def engine(pair: tuple[Server, Server]) -> AsyncIterator[AsyncEngine]:
    """An engine that knows both servers, and has used two connections to the primary."""
    places = ",".join(server.url.partition("@")[2].partition("/")[0] for server in pair)
    made = create_engine(f"postgresql://zenskar@{places}/postgres", pool_size=2)
    await execute(pair[0], "CREATE TABLE edits (number int)")
    await write(made, 1)
    async with made.connect(), made.connect():
        pass
    yield made
    await made.dispose()


async def execute(server: Server, statement: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def write(engine: AsyncEngine, number: int) -> None:
    statement = text(f"INSERT INTO edits VALUES ({number})")
    await in_transaction(engine, lambda db: db.execute(statement))


async def writes_again(engine: AsyncEngine) -> None:
    """Write until a write succeeds, with every connection of the pool."""

    async def written() -> bool:
        try:
            async with engine.connect():
                await write(engine, 2)
            await write(engine, 2)
        except (Unavailable, OSError):
            return False
        return True

    await until(written, 30)


async def replicated(primary: Server) -> None:
    await until(lambda: execute(primary, KEPT), 30)


async def test_the_standby_is_used_after_the_death_of_its_primary(
    pair: tuple[Server, Server], engine: AsyncEngine
) -> None:
    primary, standby = pair
    await replicated(primary)
    await primary.process.kill()
    with pytest.raises(Unavailable):
        await write(engine, 0)
    await execute(standby, "SELECT pg_promote()")
    await writes_again(engine)
    assert await execute(standby, "SELECT count(*) FROM edits WHERE number = 1") == 1


async def test_connections_to_a_primary_that_refuses_writes_are_dropped(
    pair: tuple[Server, Server], engine: AsyncEngine
) -> None:
    primary, standby = pair
    await replicated(primary)
    await execute(primary, "ALTER SYSTEM SET default_transaction_read_only = on")
    await execute(primary, "SELECT pg_reload_conf()")
    await execute(standby, "SELECT pg_promote()")

    async def refused() -> bool:
        return await execute(primary, "SHOW default_transaction_read_only") == "on"

    await until(refused, 10)
    await writes_again(engine)
    assert await execute(standby, "SELECT count(*) > 1 FROM edits") is True
    assert await execute(primary, "SELECT count(*) FROM edits") == 1
