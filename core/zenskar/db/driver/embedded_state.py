"""What lies in the folder of the embedded PostgreSQL, and whether its server runs."""

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
"""Bytes of a socket's path that every system takes; Linux takes four more."""
_OPENED = Path("/proc/self/fd")
_PAUSE_SECONDS = 0.1


class SocketFolder:
    """The folder of the server's socket, by a path that is short enough for this process."""

    def __init__(self, folder: Path, opened: int | None) -> None:
        self.path = str(folder if opened is None else _OPENED / str(opened))
        self._opened = opened

    def follow(self, folder: Path) -> None:
        """Use the folder that a server of an older release listens in."""
        told = _recorded(folder, 4)
        if told and Path(told).is_absolute() and Path(told) != folder:
            _refuse_others(Path(told), folder.stat().st_uid)
            self.path = told

    def answers(self) -> bool:
        """Tell whether a server takes connections."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(f"{self.path}/{_SOCKET}")
            except OSError:
                return False
        return True

    def close(self) -> None:
        """Let go of the folder."""
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None


def socket_folder(folder: Path) -> SocketFolder:
    """Return where to connect; a folder with a long path is reached as one that is open."""
    # A comma would be read as the end of the first of several hosts.
    if len(os.fsencode(folder / _SOCKET)) <= _LONGEST_SOCKET and "," not in str(folder):
        return SocketFolder(folder, None)
    if not _OPENED.is_dir():
        raise ConfigurationError(
            f"the path of the data folder is too long for a socket, {folder}: choose a shorter "
            "ZENSKAR_DATA_DIR, or set ZENSKAR_DATABASE_URL"
        )
    return SocketFolder(folder, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def _refuse_others(told: Path, owner: int) -> None:
    """Join no server of somebody else."""
    if told.stat().st_uid not in {owner, os.geteuid(), 0}:
        raise ConfigurationError(f"the socket folder {told} belongs to another user")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let one process at a time start or stop the server of a folder."""
    descriptor = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def made_once(folder: Path) -> Iterator[bool]:
    """Yield whether the database is still to be made, and note when it was made as a whole.

    What a process left that was killed meanwhile is removed: no database was ever in it.
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
    """Return the process of the folder's server, if it lives."""
    told = _recorded(folder, 0)
    if told is None or not told.isdigit() or not lives(int(told)):
        return None
    with suppress(OSError):
        # After a restart of the machine its number may be that of any other process.
        if Path(f"/proc/{told}/comm").read_text() != "postgres\n":
            return None
    return int(told)


def running_server(folder: Path, where: SocketFolder, patience_seconds: float) -> int | None:
    """Return the process of the server once it takes connections, None when there is none."""
    ends_at = time.monotonic() + patience_seconds
    while (found := server_process(folder)) is not None:
        where.follow(folder)
        if where.answers() or time.monotonic() > ends_at:
            return found
        time.sleep(_PAUSE_SECONDS)
    return None


def kept_password(folder: Path) -> str | None:
    """Return the password; None before there is one."""
    try:
        return (folder / PASSWORD).read_text().strip() or None
    except FileNotFoundError:
        return None


def store(file: Path, text: str) -> None:
    """Write a file of the folder as a whole, for the folder's owner only."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    # The folder may be another account's, which must not lead root elsewhere by a link.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
        if os.geteuid() == 0:
            owner = file.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    new.replace(file)


def tell_users(folder: Path, users: Collection[int]) -> None:
    """Write down which processes use the server."""
    store(folder / _USERS, json.dumps(sorted(users)))


def forget_dead_users(folder: Path) -> list[int]:
    """Return the other processes that use the database of a folder.

    One that was killed would be waited for: the server stops with its last user only.
    """
    try:
        known = json.loads((folder / _USERS).read_text())
    except (OSError, ValueError):
        return []
    alive = [pid for pid in known if pid != os.getpid() and lives(pid)]
    if alive != known:
        tell_users(folder, alive)
    return alive


def lives(pid: int) -> bool:
    """Tell whether there is a process of this number."""
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
