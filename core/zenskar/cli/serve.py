"""`zenskar api` and `zenskar worker`: one process each."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli import session
from zenskar.cli.output import Output, OutputOption, show_json
from zenskar.cli.process import in_background, run_server, spare_what_stays, stop_signals
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from zenskar.runtime import Runtime
    from zenskar.settings import Settings

ALL_ROLES = "relay,inbound,outbound,scheduler"


def api(output: OutputOption = Output.TABLE) -> None:
    """Serve the HTTP API, and take webhooks in.

    It listens on ZENSKAR_HOST and ZENSKAR_PORT. SIGTERM lets the requests that are under way
    finish, for at most ZENSKAR_SHUTDOWN_GRACE_SECONDS.
    """
    settings, environment = _prepare()
    run_server(_api(settings, environment, output))


def worker(
    roles: Annotated[
        str, typer.Option(help="Comma-separated. Every role may run in many processes.")
    ] = ALL_ROLES,
    output: OutputOption = Output.TABLE,
) -> None:
    """Work off what the API has put on the bus.

    Probes and metrics are served on ZENSKAR_HOST and ZENSKAR_WORKER_HEALTH_PORT. SIGTERM lets the
    calls that are under way finish, for at most ZENSKAR_SHUTDOWN_GRACE_SECONDS.
    """
    chosen = _roles(roles)
    settings, environment = _prepare()
    run_server(_worker(settings, environment, chosen, output))


async def _api(settings: "Settings", environment: Mapping[str, str], output: Output) -> None:
    from zenskar.api.server import serve

    async with (
        stop_signals() as stopping,
        _open(settings, environment) as runtime,
        serve(runtime.api(), settings.host, settings.port, settings) as address,
    ):
        spare_what_stays()
        _announce("api", address, output)
        await stopping.wait()


async def _worker(
    settings: "Settings", environment: Mapping[str, str], roles: tuple[str, ...], output: Output
) -> None:
    from zenskar.api.server import serve

    port = settings.worker_health_port
    async with (
        stop_signals() as stopping,
        _open(settings, environment) as runtime,
        serve(runtime.probes(), settings.host, port, settings) as address,
        in_background(runtime.worker(roles).run(stopping), stopping),
    ):
        spare_what_stays()
        _announce("worker", address, output)
        await stopping.wait()


@asynccontextmanager
async def _open(settings: "Settings", environment: Mapping[str, str]) -> "AsyncIterator[Runtime]":
    from zenskar.runtime import open_runtime

    async with open_runtime(settings, environment, prepare=session.require_schema) as runtime:
        yield runtime


def _prepare() -> "tuple[Settings, Mapping[str, str]]":
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=True)
    session.require_database(settings)
    return settings, environment


def _roles(text: str) -> tuple[str, ...]:
    known, chosen = ALL_ROLES.split(","), [r.strip() for r in text.split(",") if r.strip()]
    if not chosen or set(chosen) - set(known):
        raise InvalidInput(f"--roles takes some of {ALL_ROLES}")
    return tuple(chosen)


def _announce(what: str, address: str, output: Output) -> None:
    if output is Output.JSON:
        show_json({"status": "ready", what: address})
    else:
        typer.echo(f"zenskar {what} is ready on {address}")
