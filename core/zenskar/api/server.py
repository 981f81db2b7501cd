"""Serve an application over HTTP."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from zenskar.api import open_files
from zenskar.api.http.protocol import Runner
from zenskar.api.lean_webhooks import front_of
from zenskar.errors import ConfigurationError
from zenskar.settings import Settings
from zenskar.telemetry.logs import get_logger

_RESERVED_FILES = 128
"""For the bus, calls to external systems, and all other files of a running process."""
_FEWEST = 16
_READ_BYTES = 64 * 1024
"""A connection pauses when twice as many bytes are received and not read."""
_log = get_logger(__name__)
_LINGER_SECONDS = 2.0
"""The time in which a refused sender may finish its body, before the connection is closed."""


@asynccontextmanager
async def serve(
    app: web.Application, host: str, port: int, settings: Settings
) -> AsyncIterator[str]:
    """Serve on a host and port (0: any free port), and yield the address.

    The caller handles signals. Raises `ConfigurationError` when the port cannot be opened.
    """
    runner = Runner(
        app,
        front=front_of(app),
        most_connections=_connection_limit(settings),
        shutdown_timeout=settings.shutdown_grace_seconds,
        read_bufsize=_READ_BYTES,
        access_log=None,
        # Bounds the time of the headers too: aiohttp closes a connection without a complete head.
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


@asynccontextmanager
async def serve_console(
    build: Callable[[], web.Application], settings: Settings, api: str
) -> AsyncIterator[str]:
    """Serve the console on its own port if it has one, and yield its address.

    Otherwise the API at the address `api` serves the console.
    """
    if settings.console_port is None:
        yield api
        return
    async with serve(build(), settings.host, settings.console_port, settings) as address:
        yield address


def _connection_limit(settings: Settings) -> int:
    """Return the bound of connections that leaves open files for the database and the bus."""
    room = open_files.remaining() - settings.database_pool_size - _RESERVED_FILES
    if room < settings.max_connections:
        _log.warning("few_open_files", connections=max(room, _FEWEST))
    return min(settings.max_connections, max(room, _FEWEST))


def _protocol_log() -> logging.Logger:
    """Return a logger without the texts of aiohttp's errors: they repeat keys of the sender."""
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
