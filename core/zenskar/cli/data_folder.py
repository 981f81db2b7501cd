"""The data folder of `zenskar dev`: its lock and its contents."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from zenskar.errors import ConfigurationError

_LOCK, _DATABASE, _SANDBOXES = "dev.lock", "postgres", "sandbox"
_PEEKS, _PEEK_SECONDS = 5, 0.05
"""A command that checks the lock holds the lock itself for an instant."""


@dataclass(frozen=True, slots=True)
class DevState:
    """A running `zenskar dev`: its process, its API and its sandboxes by connection.

    With `variables`, other commands use the sandboxes. Only the owner may read the file with them.
    """

    pid: int
    api: str = ""
    sandboxes: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict, repr=False)


class DataFolder:
    """A folder that at most one `zenskar dev` uses at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self._lock = self.path / _LOCK

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock of the folder; the operating system releases it when the process ends.

        Raises `ConfigurationError` when another process holds the lock.
        """
        descriptor = self._open()
        try:
            self._seize(descriptor)
            self.write_state(DevState(os.getpid()))
            yield
        finally:
            os.close(descriptor)

    def write_state(self, state: DevState) -> None:
        """Write the state of this `zenskar dev` for other commands."""
        self._lock.write_text(json.dumps(asdict(state)), encoding="utf-8")

    def running(self) -> DevState | None:
        """Return the `zenskar dev` that holds the folder, None without one."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return self._state()
        finally:
            os.close(descriptor)
        return None

    def sandbox(self, connection: str) -> Path:
        """Return the folder of a connection's sandbox."""
        return self.path / _SANDBOXES / connection

    async def clear(self) -> None:
        """Remove the database and the sandboxes; the caller must hold the folder.

        Raises `ConfigurationError` when a process uses the database.
        """
        from zenskar.db.driver.embedded_state import forget_dead_users

        users = forget_dead_users(self.path / _DATABASE)
        if users:
            raise ConfigurationError(
                f"the database in {self.path} is in use by process {', '.join(map(str, users))}: "
                "stop that first"
            )
        await self._stop_orphan()
        shutil.rmtree(self.path / _DATABASE, ignore_errors=True)
        shutil.rmtree(self.path / _SANDBOXES, ignore_errors=True)

    async def _stop_orphan(self) -> None:
        """Stop a database whose users were all killed, before its files are removed."""
        from zenskar.db.driver.embedded import embedded_postgres
        from zenskar.db.driver.embedded_state import server_process

        if server_process(self.path / _DATABASE) is not None:
            async with embedded_postgres(self.path):
                """Leaving stops the database, because this process is its last user."""

    def _open(self) -> int:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"the data folder {self.path} cannot be used: {error.strerror}"
            ) from error

    def _seize(self, descriptor: int) -> None:
        for _ in range(_PEEKS):
            with suppress(OSError):
                return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(_PEEK_SECONDS)
        raise ConfigurationError(
            f"another zenskar dev (process {self._state().pid}) works in {self.path}: stop it, "
            "or choose another folder with --data-dir"
        )

    def _state(self) -> DevState:
        try:
            return DevState(**json.loads(self._lock.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return DevState(0)
