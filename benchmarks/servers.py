"""The servers that both sides use: PostgreSQL that writes to disk before it answers, and Kafka."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.kafka.cluster import free_ports
from tests.kafka.java import HOST
from tests.kafka.postgres import binaries, version
from tests.kafka.processes import Process, serve

_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "min_wal_size": "2GB",
    "max_wal_size": "4GB",
    "track_commit_timestamp": "on",
}
_WAL_FILES = 120
"""WAL files of 16 MB each, a little less than `min_wal_size`."""


@dataclass
class Postgres:
    """A running server."""

    process: Process
    address: str
    version: str

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"{self.address}/{database}"

    async def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        connection = await asyncpg.connect(self.url("postgres"))
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        return self.url(name)

    async def clear(self) -> None:
        """Drop the created databases, so that their vacuum disturbs no later run."""
        connection = await asyncpg.connect(self.url("postgres"))
        made = "SELECT datname FROM pg_database WHERE datname LIKE 'bench\\_%'"
        for (name,) in await connection.fetch(made):
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.execute("CHECKPOINT")
        await connection.close()

    async def durable(self) -> dict[str, str]:
        """Return the settings that make a commit durable."""
        connection = await asyncpg.connect(self.url("postgres"))
        names = ("fsync", "synchronous_commit", "full_page_writes")
        found = {name: await connection.fetchval(f"SHOW {name}") for name in names}
        await connection.close()
        return found


@asynccontextmanager
async def open_postgres(folder: Path) -> AsyncIterator[Postgres]:
    """Start PostgreSQL 15 where it is installed, else the embedded server."""
    programs, data, (port,) = binaries(), folder / "postgres", free_ports(1)
    user = "postgres" if os.geteuid() == 0 else None
    data.mkdir()
    if user is not None:
        shutil.chown(data, user, user)
    options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
    subprocess.run(
        (programs / "initdb", "-D", data, *options),
        check=True,
        capture_output=True,
        user=user,
        group=user,
        cwd="/",
    )
    settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
    command = (str(programs / "postgres"), "-D", str(data), "-p", str(port), *settings)
    process = Process("postgres", command, folder, user=user)
    server = Postgres(process, f"postgresql://postgres@{HOST}:{port}", version(programs))

    async def answers() -> bool:
        try:
            connection = await asyncpg.connect(server.url("postgres"))
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    await serve(process, answers, 60)
    await _fill_wal(server)
    try:
        yield server
    finally:
        await process.stop(number=2)


async def _fill_wal(server: Postgres) -> None:
    """Create WAL files to reuse, like a server after some hours.

    A new server creates each file, full of zeros, while every commit waits.
    """
    connection = await asyncpg.connect(server.url("postgres"))
    for _ in range(_WAL_FILES):
        await connection.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
    await connection.execute("CHECKPOINT")
    await connection.close()


@asynccontextmanager
async def workplace() -> AsyncIterator[Path]:
    """Yield a folder that PostgreSQL's own user can enter too, and remove it."""
    with tempfile.TemporaryDirectory(prefix="zenskar-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)
