"""A real PostgreSQL from a wheel, with its data in a folder closed to other users.

The server listens on a socket file in that folder only, and requires a password.
"""

import asyncio
import os
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg

from zenskar.db.driver.embedded_programs import ProgramFailed, Programs, programs_for
from zenskar.db.driver.embedded_state import (
    PASSWORD,
    SocketFolder,
    forget_dead_users,
    kept_password,
    locked,
    made_once,
    running_server,
    server_process,
    socket_folder,
    store,
    write_users,
)
from zenskar.errors import ConfigurationError
from zenskar.telemetry.logs import get_logger

_START_SECONDS = 60.0
_PAUSE_SECONDS, _LOOK_SECONDS = 0.05, 1.0
_USER = "postgres"
_NEW = ("--auth=trust", "--encoding=utf8", "-U", _USER)
_HBA = "# Written by zenskar: every connection needs the password.\nlocal all all scram-sha-256\n"
# A relative path: the path of the data folder may be too long for a socket.
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "port": "5432",
    # Many processes may share the server, each with a pool.
    "max_connections": "300",
}
_log = get_logger(__name__)


class EmbeddedServer:
    """A running server that this process uses, perhaps with other processes."""

    def __init__(self, programs: Programs, where: SocketFolder, folder: Path) -> None:
        self._programs = programs
        self._where = where
        self._folder = folder
        self._password = ""

    def start(self) -> None:
        """Start the server, or use the running server of another process.

        Raises `ProgramFailed` when PostgreSQL does not start.
        """
        with locked(self._folder):
            with made_once(self._folder) as missing:
                if missing:
                    self._programs.initialize(*_NEW, "-D", self._programs.data)
            if (running := running_server(self._folder, self._where, _START_SECONDS)) is None:
                running = self._launch()
            self._password = kept_password(self._folder) or self._protect(running)
            write_users(self._folder, {*forget_dead_users(self._folder), os.getpid()})

    def get_uri(self) -> str:
        """Return the URL of the server, with the password."""
        where = quote(self._where.path, safe="")
        return f"postgresql://{_USER}:{quote(self._password, safe='')}@/postgres?host={where}"

    def answers(self) -> bool:
        """Return whether the server accepts connections."""
        return self._where.answers()

    def cleanup(self) -> None:
        """Stop using the server; the last process that uses the server stops it."""
        with locked(self._folder):
            others = forget_dead_users(self._folder)
            write_users(self._folder, others)
            if not others:
                self._end()
        self._where.close()

    def stop(self) -> None:
        """Stop the server, even when other processes use it."""
        with locked(self._folder):
            self._end()
        self._where.close()

    def _launch(self) -> int:
        options = " ".join(shlex.quote(f"-c{name}={value}") for name, value in _OPTIONS.items())
        log = f"{self._programs.data}/log"
        wait = ("-w", "-t", f"{_START_SECONDS:.0f}", "-l", log, "-o", options)
        self._programs.run("pg_ctl", *wait, "-D", self._programs.data, "start")
        if (running := running_server(self._folder, self._where, _START_SECONDS)) is None:
            raise ProgramFailed("postgres: it ended at once")
        return running

    def _protect(self, running: int) -> str:
        """Set a password in a new database, or in the database of an older release.

        Before this, only the permissions of the socket's folder keep other users out.
        """
        # Nobody guesses 32 random bytes: many rounds of hashing would only slow each connection.
        password = secrets.token_urlsafe(32)
        rounds = "SET scram_iterations = 1"
        change = f"ALTER USER {_USER} PASSWORD '{password}'"
        asyncio.run(_execute(self.get_uri(), f"{rounds}; {change}"))
        store(self._folder / "pg_hba.conf", _HBA)
        os.kill(running, signal.SIGHUP)
        # Last, because without this file the whole method runs again.
        store(self._folder / PASSWORD, password)
        return password

    def _end(self) -> None:
        for number in (signal.SIGINT, signal.SIGQUIT):
            if (running := server_process(self._folder)) is None:
                return
            with suppress(ProcessLookupError):
                os.kill(running, number)
            ends_at = time.monotonic() + _START_SECONDS / 2
            while server_process(self._folder) == running and time.monotonic() < ends_at:
                time.sleep(_PAUSE_SECONDS)


def start_server(folder: Path) -> EmbeddedServer:
    """Start PostgreSQL on a folder, or use the server that runs there.

    Raises `ConfigurationError` when the server does not start.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # While another process creates the database, the folder's owner still changes.
        with locked(folder):
            programs = programs_for(folder)
        server = EmbeddedServer(programs, socket_folder(folder), folder)
        server.start()
    except (ProgramFailed, OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError(
            f"the embedded PostgreSQL did not start in {folder}: {error}; "
            f"its log is {folder / 'log'}"
        ) from error
    return server


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=_START_SECONDS)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def embedded_postgres(data_dir: Path) -> AsyncIterator[str]:
    """Run PostgreSQL on `data_dir/postgres` and yield its URL; restart the server if it ends."""
    server = await asyncio.to_thread(start_server, data_dir / "postgres")
    stopping = asyncio.Event()
    keeper = asyncio.create_task(_keep_running(server, stopping), name="embedded-postgres")
    try:
        yield server.get_uri()
    finally:
        # Not cancelled: a server that the task starts now would outlive this process.
        stopping.set()
        await keeper
        await asyncio.to_thread(server.cleanup)


async def _keep_running(server: EmbeddedServer, stopping: asyncio.Event) -> None:
    logged = False
    while not stopping.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await stopping.wait()
        if stopping.is_set() or server.answers():
            continue
        try:
            await asyncio.to_thread(server.start)
        except (ProgramFailed, OSError, subprocess.SubprocessError) as error:
            if not logged:
                _log.error("database_not_started", error=str(error))
            logged = True
        else:
            _log.warning("database_restarted")
            logged = False
