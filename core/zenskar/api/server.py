"""Serve an application until told to stop."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from zenskar import open_files
from zenskar.api.http.protocol import Runner
from zenskar.errors import ConfigurationError
from zenskar.settings import Settings
from zenskar.telemetry.logs import get_logger

_RESERVED_FILES = 128
"""For the bus, calls to external systems, and what else a process opens while it runs."""
_FEWEST = 16
_READ_BYTES = 64 * 1024
"""What one connection may have sent ahead of what is read, twice as much at most."""
_log = get_logger(__name__)
_LINGER_SECONDS = 2.0
"""How long a refused sender may go on sending before it is cut off instead of answered."""


@asynccontextmanager
async def serve(
    app: web.Application, host: str, port: int, settings: Settings
) -> AsyncIterator[str]:
    """Serve on host and port (0: any free one) and yield the address. Signals are the caller's."""
    runner = Runner(
        app,
        most_connections=_room(settings),
        shutdown_timeout=settings.shutdown_grace_seconds,
        read_bufsize=_READ_BYTES,
        access_log=None,
        # Also what bounds the headers of a request: aiohttp closes a connection on which no
        # whole head has arrived in this time.
        keepalive_timeout=settings.request_timeout_seconds,
        lingering_time=_LINGER_SECONDS,
        auto_decompress=False,
        logger=_protocol_log(),
    )
    try:
        await runner.setup()
        await _listen(web.TCPSite(runner, host, port), host, port)
        bound = runner.addresses[0]
        yield f"http://{_bracketed(host)}:{bound[1]}"
    finally:
        await runner.cleanup()


def _room(settings: Settings) -> int:
    """Return how many connections there may be, so that files for the database are left."""
    room = open_files.remaining() - settings.database_pool_size - _RESERVED_FILES
    if room < settings.max_connections:
        _log.warning("few_open_files", connections=max(room, _FEWEST))
    return min(settings.max_connections, max(room, _FEWEST))


def _protocol_log() -> logging.Logger:
    """What aiohttp itself refuses is no HTTP; its text repeats what was sent, keys and all."""
    logger = logging.getLogger("zenskar.api.http")
    logger.addFilter(_drop_details)
    return logger


def _drop_details(record: logging.LogRecord) -> bool:
    error = record.exc_info[0] if record.exc_info else None
    record.msg, record.args = "http_refused", ()
    record.error = error.__name__ if error else ""
    record.levelno, record.levelname = logging.INFO, "INFO"
    record.exc_info = record.exc_text = None
    return True


async def _listen(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot listen on {_bracketed(host)}:{port}: {reason}") from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
