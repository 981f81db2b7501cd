"""`zenskar migrate`."""

import json
from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy import text

from tests.cli.conftest import Cli
from tests.support.postgres import apart, database_of, drop, server_url
from zenskar.db.driver.engine import create_engine, transaction


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        engine = create_engine(url, pool_size=1)
        async with transaction(engine) as db:
            await db.execute(text(statement))
        await engine.dispose()

    apart(run)


@pytest.fixture
def empty(cli: Cli, database: str) -> Iterator[None]:
    """Start from a database without tables."""
    while cli.json("migrate", "down")["current"] is not None:
        pass


def test_up_is_the_default_and_may_be_repeated(cli: Cli, database: str, empty: None) -> None:
    assert not cli.json("migrate", "status")["up_to_date"]
    assert "run `zenskar migrate`" in cli("migrate", "status")
    status = cli.json("migrate")
    assert status["up_to_date"]
    assert status["current"] == status["head"]
    assert cli.json("migrate", "up") == status
    assert "newest" in cli("migrate", "status")


def test_what_needs_the_tables_names_the_command(cli: Cli, database: str, empty: None) -> None:
    problem = "the database has no tables yet"
    for command in ("events list", "keys list", "connections list"):
        said = cli(*command.split(), code=1)
        assert said.startswith(f"error: {problem}")
        assert "run `zenskar migrate`" in said
    for server in ("api", "worker"):
        line = json.loads(cli(server, code=1))
        assert line["problem"].startswith(problem)
        assert "run `zenskar migrate`" in line["problem"]


def test_down_at_the_bottom_fails_in_one_line(cli: Cli, database: str, empty: None) -> None:
    said = cli("migrate", "down", code=1)
    assert said.startswith("error: the schema cannot be migrated")
    assert len(said.splitlines()) == 1


def test_the_schema_of_a_newer_release_is_read_but_not_migrated(cli: Cli, database: str) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '9999'")
    assert cli.json("events", "list") == {"data": []}
    assert cli("migrate", code=1).startswith("error: the schema cannot be migrated")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_store_every_text_is_refused(
    cli: Cli, database: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    server, name = server_url(), f"test_{encoding.lower()}"

    async def run(statement: str) -> None:
        connection = await asyncpg.connect(server)
        await connection.execute(statement)
        await connection.close()

    locale = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    apart(lambda: run(f"CREATE DATABASE {name} {locale}"))
    try:
        monkeypatch.setenv("ZENSKAR_DATABASE_URL", database_of(server, name))
        problem = f"the database has the encoding {encoding}, and zenskar needs UTF8"
        assert cli("migrate", code=1).startswith(f"error: {problem}")
        assert json.loads(cli("api", code=1))["problem"].startswith(problem)
        assert problem in cli("doctor", code=1)
    finally:
        apart(lambda: drop(server, name))


def test_status_makes_no_database(cli: Cli) -> None:
    assert "there is no database" in cli("migrate", "status", code=1)
