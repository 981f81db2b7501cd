"""The files of the embedded PostgreSQL's folder, and the state of its server."""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zenskar.errors import ConfigurationError

PASSWORD = "zenskar.password"  # noqa: S105 - the name of its file
_USERS, _LOCK_FILE, _SOCKET = ".handle_pids.json", "postmaster.pid", ".s.PGSQL.5432"
_LONGEST_SOCKET = 103
"""Bytes of a socket's path that every system accepts; Linux accepts four more."""
_OPENED = Path("/proc/self/fd")
_PAUSE_SECONDS = 0.1


class SocketFolder:
    """The folder of the server's socket, by a path that is short enough for this process."""

    def __init__(self, folder: Path, opened: int | None) -> None:
        self.path = str(folder if opened is None else _OPENED / str(opened))
        self._opened = opened

    def follow(self, folder: Path) -> None:
        """Use the socket folder of a server that an older release started.

        Raises `ConfigurationError` when that folder belongs to another user.
        """
        recorded = _recorded(folder, 4)
        if recorded and Path(recorded).is_absolute() and Path(recorded) != folder:
            _refuse_other_owner(Path(recorded), folder.stat().st_uid)
            self.path = recorded

    def answers(self) -> bool:
        """Return whether a server accepts connections."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(f"{self.path}/{_SOCKET}")
            except OSError:
                return False
        return True

    def close(self) -> None:
        """Close the folder."""
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None


def socket_folder(folder: Path) -> SocketFolder:
    """Return the socket folder; a folder with a long path is opened, to have a short path.

    Raises `ConfigurationError` when the path is too long on a system without `/proc`.
    """
    # A comma would be read as the end of the first of several hosts.
    if len(os.fsencode(folder / _SOCKET)) <= _LONGEST_SOCKET and "," not in str(folder):
        return SocketFolder(folder, None)
    if not _OPENED.is_dir():
        raise ConfigurationError(
            f"the path of the data folder is too long for a socket, {folder}: choose a shorter "
            "ZENSKAR_DATA_DIR, or set ZENSKAR_DATABASE_URL"
        )
    return SocketFolder(folder, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _refuse_other_owner(socket_folder: Path, owner: int) -> None:
    """Raise `ConfigurationError` for the server of another user."""
    if socket_folder.stat().st_uid not in {owner, os.geteuid(), 0}:
        raise ConfigurationError(f"the socket folder {socket_folder} belongs to another user")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock under which a process starts or stops the server of a folder."""
    descriptor = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Yield whether the database is missing, and mark it as complete at the end.

    The files of a killed process are removed before: they never were a complete database.
    """
    unfinished = folder.with_suffix(".unfinished")
    missing = unfinished.exists() or not (folder / "PG_VERSION").exists()
    if missing:
        if unfinished.exists():
            _empty(folder)
        unfinished.touch(0o600)
    yield missing
    unfinished.unlink(missing_ok=True)


def _empty(folder: Path) -> None:
    for found in folder.iterdir():
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink()


def server_process(folder: Path) -> int | None:
    """Return the process id of the folder's server, None when it does not run."""
    recorded = _recorded(folder, 0)
    if recorded is None or not recorded.isdigit() or not lives(int(recorded)):
        return None
    with suppress(OSError):
        # After a restart of the machine, another process may have this id.
        if Path(f"/proc/{recorded}/comm").read_text() != "postgres\n":
            return None
    return int(recorded)


def running_server(folder: Path, where: SocketFolder, wait_seconds: float) -> int | None:
    """Return the process id of the server when it accepts connections, None without a server."""
    ends_at = time.monotonic() + wait_seconds
    while (found := server_process(folder)) is not None:
        where.follow(folder)
        if where.answers() or time.monotonic() > ends_at:
            return found
        time.sleep(_PAUSE_SECONDS)
    return None


def kept_password(folder: Path) -> str | None:
    """Return the stored password, None before the first start."""
    try:
        return (folder / PASSWORD).read_text().strip() or None
    except FileNotFoundError:
        return None


def store(file: Path, text: str) -> None:
    """Replace a file of the folder, readable for the folder's owner only."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    # Another account may own the folder, and must not redirect root by a symbolic link.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
        if os.geteuid() == 0:
            owner = file.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    new.replace(file)


def write_users(folder: Path, users: Collection[int]) -> None:
    """Store the ids of the processes that use the server."""
    store(folder / _USERS, json.dumps(sorted(users)))


def forget_dead_users(folder: Path) -> list[int]:
    """Return the other processes that use the server, and remove the dead ones from the file.

    The server stops with its last process, so a killed process would keep it running.
    """
    try:
        known = json.loads((folder / _USERS).read_text())
    except (OSError, ValueError):
        return []
    alive = [pid for pid in known if pid != os.getpid() and lives(pid)]
    if alive != known:
        write_users(folder, alive)
    return alive


def lives(pid: int) -> bool:
    """Return whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _recorded(folder: Path, line: int) -> str | None:
    try:
        return (folder / _LOCK_FILE).read_text().splitlines()[line].strip()
    except (OSError, IndexError):
        return None
