"""Migrations beside readers and writers."""

import asyncio
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from tests.support.wait import DEADLINE_SECONDS
from zenskar import resources
from zenskar.db.schema import migrate, revision
from zenskar.db.schema.online import Limits
from zenskar.errors import ConfigurationError, Unavailable

WRITE = "INSERT INTO customers (id, name) VALUES (gen_random_uuid(), 'Ada')"


@asynccontextmanager
async def backup(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Hold what pg_dump holds: a snapshot, and a lock of every table that it has read."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        for table in ("customers", "sync_events", "outbox", "external_mappings"):
            await connection.fetchval(f"SELECT count(*) FROM {table}")
        yield connection
        await connection.execute("COMMIT")
    finally:
        await connection.close()


@pytest.mark.parametrize("direction", ["down", "up"])
async def test_writes_continue_while_a_migration_waits_for_a_backup(
    database_url: str, engine: AsyncEngine, direction: str
) -> None:
    if direction == "up":
        await migrate.downgrade(database_url, "0001")
    # Whatever keeps a writer waiting for longer makes its statement fail.
    writer = await asyncpg.connect(database_url, server_settings={"lock_timeout": "2s"})
    loop = asyncio.get_running_loop()
    async with backup(database_url):
        running = asyncio.create_task(
            migrate.upgrade(database_url)
            if direction == "up"
            else migrate.downgrade(database_url, "0001")
        )
        ends_at = loop.time() + 4
        while loop.time() < ends_at:
            await writer.execute(WRITE)
            await asyncio.sleep(0.01)
        assert not running.done()
    await asyncio.wait_for(running, 60)
    await writer.close()
    assert (await revision.status(engine)).up_to_date is (direction == "up")


async def test_a_wait_that_is_too_long_is_reported_in_one_line(database_url: str) -> None:
    async with backup(database_url):
        with pytest.raises(Unavailable, match="others held its tables") as raised:
            await migrate.downgrade(database_url, "base", Limits(patience_seconds=1))
    assert "\n" not in str(raised.value)


async def test_two_migrations_run_one_after_the_other(
    database_url: str, engine: AsyncEngine
) -> None:
    await migrate.downgrade(database_url, "base")
    await asyncio.gather(*(migrate.upgrade(database_url) for _ in range(3)))
    assert (await revision.status(engine)).up_to_date


async def test_the_blocking_transaction_is_logged(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_REPORT_SECONDS", 0.05)
    with capture_logs() as logs:
        async with backup(database_url) as holder:
            await holder.execute("SET application_name = 'pg_dump'")
            running = asyncio.create_task(migrate.downgrade(database_url, "base"))
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not any(e["event"] == "migration_waits" for e in logs):
                    await asyncio.sleep(0.01)
        await running
    told = next(e for e in logs if e["event"] == "migration_waits")
    assert told["transaction_of"] == "pg_dump"


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a copy of the migrations, for one more."""
    versions = tmp_path / "versions"
    versions.mkdir()
    real = resources.migrations_dir()
    (tmp_path / "env.py").write_text((real / "env.py").read_text())
    for file in (real / "versions").glob("*.py"):
        (versions / file.name).write_text(file.read_text())
    monkeypatch.setattr(resources, "migrations_dir", lambda: tmp_path)
    return versions


def add(versions: Path, body: str) -> None:
    last = revision.known()[-1]
    (versions / "9000_more.py").write_text(
        f"from alembic import op\nimport sqlalchemy as sa\nrevision = '9000'\n"
        f"down_revision = {last!r}\n\ndef upgrade():\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\ndef downgrade():\n    pass\n"
    )


async def test_an_index_of_an_existing_table_is_built_beside_writers(
    database_url: str, engine: AsyncEngine, migrations: Path
) -> None:
    add(migrations, "op.create_index('customers_phone', 'customers', ['phone'])")
    writer, other = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await other.execute("BEGIN")
    await other.execute(WRITE)
    running = asyncio.create_task(migrate.upgrade(database_url))
    unfinished = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    unfinished += " WHERE c.relname = 'customers_phone' AND NOT i.indisvalid"
    while not await writer.fetchval(unfinished):
        await asyncio.sleep(0.01)
    # Longer than the limits of what holds locks: a build may take its time.
    await writer.execute(WRITE, timeout=5)
    await other.execute("COMMIT")
    await asyncio.wait_for(running, 30)
    assert not await writer.fetchval(unfinished)
    await writer.close()
    await other.close()


async def test_a_failed_build_is_repeated(database_url: str, migrations: Path) -> None:
    add(migrations, "op.create_index('customers_phone', 'customers', ['phone'])")
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE INDEX customers_phone ON customers (name)")
    await connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'customers_phone'::regclass"
    )
    await migrate.upgrade(database_url)
    found = await connection.fetchval("SELECT pg_get_indexdef('customers_phone'::regclass)")
    assert "(phone)" in found
    await connection.close()


@pytest.mark.parametrize(
    "body",
    [
        """
        op.add_column('customers', sa.Column('more', sa.Text()))
        op.create_index('customers_more', 'customers', ['more'])
        """,
        "op.execute('CREATE INDEX customers_more ON customers (name)')",
        "op.execute('drop  index customers_email')",
    ],
)
async def test_a_migration_that_could_not_be_repeated_is_refused(
    database_url: str, engine: AsyncEngine, migrations: Path, body: str
) -> None:
    add(migrations, body)
    with pytest.raises(CommandError, match="index"):
        await migrate.upgrade(database_url)
    assert (await revision.status(engine)).current != "9000"
    connection = await asyncpg.connect(database_url)
    await connection.execute("SELECT email, metadata FROM customers")
    await connection.close()


async def test_a_slow_statement_is_cancelled_in_one_line(
    database_url: str, engine: AsyncEngine, migrations: Path
) -> None:
    add(migrations, "op.execute('SELECT pg_sleep(60)')")
    with pytest.raises(ConfigurationError, match="--statement-timeout") as raised:
        await migrate.upgrade(database_url, limits=Limits(statement_seconds=0.1))
    assert "\n" not in str(raised.value)
    assert (await revision.status(engine)).current != "9000"


async def test_a_failed_migration_is_explained_in_one_line(
    database_url: str, engine: AsyncEngine, migrations: Path
) -> None:
    add(migrations, "op.execute('ALTER TABLE nowhere ADD COLUMN more text')")
    with pytest.raises(ConfigurationError, match='relation "nowhere" does not exist') as raised:
        await migrate.upgrade(database_url)
    assert "\n" not in str(raised.value)
