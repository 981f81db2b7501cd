"""A PostgreSQL for the whole test session, and a separate database for each test.

Set ZENSKAR_TEST_DATABASE_URL to use a running server (it must allow CREATE DATABASE).
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from zenskar.db.driver.embedded import start_server
from zenskar.db.schema import migrate

T = TypeVar("T")

CLUSTER = "ZENSKAR_TEST_CLUSTER"
SERVER = "ZENSKAR_TEST_DATABASE_URL"
_LOCK = 4_711


def prepare_session() -> None:
    """Choose the folder of the server; the first test that needs it starts it."""
    os.environ[CLUSTER] = tempfile.mkdtemp(prefix="zenskar-tests-")


def finish_session() -> None:
    """Stop the server if a test has started it, and remove its folder."""
    folder = Path(os.environ[CLUSTER])
    if server := os.environ.get(SERVER):
        apart(lambda: drop(server, _template()))
    if (folder / "postgres" / "postmaster.pid").exists():
        _embedded(folder).stop()
    shutil.rmtree(folder, ignore_errors=True)


def server_url() -> str:
    """Return the URL of a server that has the migrated template database."""
    url = os.environ.get(SERVER) or _embedded(Path(os.environ[CLUSTER])).get_uri()
    apart(lambda: _make_template(url))
    return url


async def create(server: str, name: str) -> None:
    """Create a migrated database."""
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {_template()} STRATEGY file_copy")


async def drop(server: str, name: str) -> None:
    """Drop a database, even if it is in use."""
    await _execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def database_of(server: str, name: str) -> str:
    """Return the URL of another database of a server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def apart(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine in a thread, apart from the event loop of a test."""

    async def run() -> T:
        return await work()

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, run()).result()


def _embedded(folder: Path) -> Any:
    # Test workers share the running server; the session stops it.
    return start_server(folder / "postgres")


def _template() -> str:
    return Path(os.environ[CLUSTER]).name.replace("-", "_").lower()


async def _make_template(server: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        query = "SELECT 1 FROM pg_database WHERE datname = $1"
        if await connection.fetchval(query, _template()):
            return
        await _fast_and_careless(connection)
        await connection.execute(f"CREATE DATABASE {_template()}")
        await migrate.upgrade(database_of(server, _template()))
    finally:
        await connection.close()


async def _fast_and_careless(connection: asyncpg.Connection) -> None:
    """The data of a test need not survive a power failure."""
    if os.environ.get(SERVER) is None:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            await connection.execute(f"ALTER SYSTEM SET {setting} = off")
        await connection.execute("SELECT pg_reload_conf()")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class Gate:
    """A socket in front of the server that a test closes to make the database unavailable."""

    def __init__(self, database_url: str, folder: Path) -> None:
        parts = make_url(database_url)
        name = f".s.PGSQL.{parts.query.get('port', 5432)}"
        self._upstream = Path(str(parts.query["host"])) / name
        self._socket = folder / ".s.PGSQL.5432"
        self.url = parts.set(query={"host": str(folder)}).render_as_string(hide_password=False)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_unix_server(self._join, self._socket)

    async def close(self) -> None:
        """Break every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
        self._socket.unlink(missing_ok=True)
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_unix_connection(self._upstream)
        self._writers |= {writer, back_writer}
        await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))


@asynccontextmanager
async def open_gate(database_url: str) -> AsyncIterator[Gate]:
    """Yield an open gate; needs a server on a socket file, as the embedded one is."""
    if "host" not in make_url(database_url).query:
        pytest.skip("needs the embedded server: its socket file is what the gate replaces")
    with tempfile.TemporaryDirectory(prefix="gate-") as folder:
        gate = Gate(database_url, Path(folder))
        await gate.open()
        try:
            yield gate
        finally:
            await gate.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
