"""Run the API server and the worker until a signal arrives."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from zenskar.api import open_files
from zenskar.cli import session
from zenskar.cli.process import freeze_startup_objects, in_background, run_server, stop_signals
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from zenskar.runtime import Runtime
    from zenskar.settings import Settings

ALL_ROLES = "relay,inbound,outbound,scheduler"
Announce = Callable[[str, str], None]
"""A callback that receives the name of a ready server and its address."""


def print_ready(what: str, address: str) -> None:
    """Print a line that says that a server is ready."""
    print(f"zenskar {what} is ready on {address}", flush=True)  # noqa: T201


def log_ready(what: str, address: str) -> None:
    """Log that a server is ready."""
    from zenskar.telemetry.logs import get_logger

    _log = get_logger(__name__)
    _log.info("server_ready", server=what, address=address)


def api(ready: Announce | None = None) -> None:
    """Serve the API until a signal arrives."""
    settings, environment = _prepare()
    run_server(_api(settings, environment, ready or _announce(settings)))


def worker(ready: Announce | None = None, roles: str = ALL_ROLES) -> None:
    """Process messages in some roles until a signal arrives.

    Raises `InvalidInput` when a role is unknown.
    """
    chosen = _roles(roles)
    settings, environment = _prepare()
    run_server(_worker(settings, environment, chosen, ready or _announce(settings)))


def _announce(settings: "Settings") -> Announce:
    """Return the announcement by default: with JSON logs, no other line may be written."""
    return print_ready if settings.log_format == "console" else log_ready


async def _api(settings: "Settings", environment: Mapping[str, str], ready: Announce) -> None:
    from zenskar.api.server import serve, serve_console

    async with (
        stop_signals() as stopping,
        _open(settings, environment, "zenskar api") as runtime,
        runtime.watched_loop(),
        serve(runtime.api(), settings.host, settings.port, settings) as address,
        serve_console(runtime.console, settings, address) as console,
    ):
        freeze_startup_objects()
        ready("api", address)
        if console != address:
            ready("console", console)
        await stopping.wait()
        runtime.stopping.set()
        # Load balancers notice the stop after some probes, and send requests until then.
        await asyncio.sleep(settings.drain_seconds)


async def _worker(
    settings: "Settings", environment: Mapping[str, str], roles: tuple[str, ...], ready: Announce
) -> None:
    from zenskar.api.server import serve

    port = settings.worker_health_port
    async with (
        stop_signals() as stopping,
        _open(settings, environment, "zenskar worker") as runtime,
        runtime.watched_loop(),
        serve(runtime.probes(), settings.host, port, settings) as address,
        in_background(runtime.worker(roles).run(stopping), stopping),
    ):
        freeze_startup_objects()
        ready("worker", address)
        await stopping.wait()
        runtime.stopping.set()


@asynccontextmanager
async def _open(
    settings: "Settings", environment: Mapping[str, str], application: str
) -> "AsyncIterator[Runtime]":
    from zenskar.db.schema.present import require_schema
    from zenskar.runtime import open_runtime
    from zenskar.telemetry.error_reports import reported_errors
    from zenskar.telemetry.tracing_setup import recorded_spans

    service = application.replace(" ", "-")
    with reported_errors(os.environ, service):
        async with (
            recorded_spans(os.environ, service) as tracing,
            open_runtime(
                settings,
                environment,
                prepare=require_schema,
                application=application,
                tracing=tracing,
            ) as runtime,
        ):
            yield runtime


def _prepare() -> "tuple[Settings, Mapping[str, str]]":
    open_files.raise_limit()
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=True)
    session.require_database(settings)
    return settings, environment


def _roles(text: str) -> tuple[str, ...]:
    known, chosen = ALL_ROLES.split(","), [r.strip() for r in text.split(",") if r.strip()]
    if not chosen or set(chosen) - set(known):
        raise InvalidInput(f"--roles takes some of {ALL_ROLES}")
    return tuple(chosen)
