"""The SQL statements of docs/scaling.md work."""

import re

import asyncpg

from tests.deploy.compose import ROOT
from tests.support.flow import open_flow
from zenskar.db.driver.engine import create_engine
from zenskar.db.schema import revision

BLOCKS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "scaling.md").read_text(), re.DOTALL)
(PARTITION,) = [block for block in BLOCKS if "PARTITION BY" in block]


async def test_history_can_be_partitioned_and_old_months_dropped(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        await flow.create(name="Ada")
        await flow.settle()
    connection = await asyncpg.connect(database_url)
    try:
        before = await connection.fetchval("SELECT count(*) FROM sync_event_history")
        await connection.execute(PARTITION)
        async with open_flow(database_url) as flow:
            await flow.create(name="Eve")
            await flow.settle()
        count, unique = await connection.fetchrow(
            "SELECT count(*), count(DISTINCT id) FROM sync_event_history"
        )
        assert count == unique > before > 0
        await connection.execute("DROP TABLE sync_event_history_before")
        assert await connection.fetchval("SELECT count(*) FROM sync_event_history") == 0
    finally:
        await connection.close()
    engine = create_engine(database_url, pool_size=1)
    assert (await revision.status(engine)).up_to_date
    await engine.dispose()


async def test_what_is_to_be_looked_at_can_be_looked_at(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        for block in BLOCKS:
            if block != PARTITION:
                await connection.execute(block)
    finally:
        await connection.close()
