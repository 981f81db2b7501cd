"""A database that answers, and accepts no writes."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.kafka.postgres import open_server
from tests.support.small_disk import empty, fill, small_disk
from zenskar.db.driver.engine import create_engine, ping
from zenskar.db.driver.writable import check_writable
from zenskar.errors import Unavailable


@pytest.fixture
def disk() -> Iterator[Path]:
    with (
        tempfile.TemporaryDirectory(prefix="zenskar-disk-") as name,
        small_disk(Path(name), 160) as disk,
    ):
        yield disk


async def test_a_full_disk_is_reported_until_space_is_free(disk: Path) -> None:
    async with open_server(disk) as server:
        engine = create_engine(server.url, pool_size=2)
        await check_writable(engine)
        await asyncio.to_thread(fill, disk)
        await ping(engine)
        with pytest.raises(Unavailable, match="no room on its disk"):
            await check_writable(engine)
        empty(disk)
        await check_writable(engine)
        await engine.dispose()


async def test_a_read_only_database_is_reported(database_url: str) -> None:
    read_only = f"{database_url}&options=-c%20default_transaction_read_only%3Don"
    engine = create_engine(read_only, pool_size=2)
    await ping(engine)
    with pytest.raises(Unavailable, match="read-only"):
        await check_writable(engine)
    await engine.dispose()


async def test_a_limit_of_temporary_files_is_no_full_disk(
    engine: AsyncEngine, database_url: str
) -> None:
    limited = create_engine(f"{database_url}&options=-c%20temp_file_limit%3D10", pool_size=2)
    await check_writable(limited)
    await limited.dispose()


async def test_the_check_leaves_no_file(engine: AsyncEngine, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    size = "SELECT pg_database_size(current_database())"
    before = await connection.fetchval(size)
    for _ in range(20):
        await check_writable(engine)
    assert await connection.fetchval(size) == before
    assert await connection.fetchval("SHOW work_mem") == "4MB"
    await connection.close()
