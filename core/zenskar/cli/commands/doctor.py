"""`zenskar doctor`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import typer

from zenskar.cli import session
from zenskar.cli.data_folder import DataFolder
from zenskar.cli.render.output import Output, OutputOption, print_json, print_table

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from zenskar.ops.checks.check_connections import OpenConnections
    from zenskar.ops.checks.checkup import Checkup
    from zenskar.ops.checks.finding import Finding
    from zenskar.plugins.discovery import Plugin
    from zenskar.settings import Settings

_COLUMNS = {"part": "PART", "verdict": "IS", "detail": "DETAIL", "fix": "FIX"}
_CALL_SECONDS = 5.0


def doctor(output: OutputOption = Output.TABLE) -> None:
    """Check every part, and show a fix for each failure. The exit code is 1 after a failure."""
    settings, environment = session.read_settings()
    session.configure_logs(settings, environment, serving=False)
    from zenskar.plugins.discovery import discover

    report = asyncio.run(checkup(settings, environment, discover()).run())
    found = report.to_json()
    if output is Output.JSON:
        print_json(found)
    else:
        print_table(_COLUMNS, found["checks"])
    raise typer.Exit(int(not report.ok))


def checkup(
    settings: "Settings", environment: Mapping[str, str], plugins: "Mapping[str, Plugin]"
) -> "Checkup":
    """Return a checkup that opens connections and a database of its own."""
    from zenskar.ops.checks.checkup import Checkup
    from zenskar.plugins.inventory import PluginInventory

    dev = DataFolder(settings.data_dir).running() if settings.database_url is None else None

    async def api() -> "list[Finding]":
        return [await _api(settings, dev.api if dev else "")]

    return Checkup(
        settings,
        PluginInventory.of(plugins, settings, environment),
        lambda: open_connections(settings, environment, plugins),
        lambda: _open_engine(settings),
        sandboxes=dev.sandboxes if dev else {},
        needs_keys=settings.auth == "required" and dev is None,
        others=(api,),
    )


@asynccontextmanager
async def open_connections(
    settings: "Settings", environment: Mapping[str, str], plugins: "Mapping[str, Plugin]"
) -> "AsyncIterator[OpenConnections]":
    """Open the integration of each connection. Raises `ConfigurationError`."""
    from zenskar.ops.checks.check_connections import OpenConnections
    from zenskar.plugins.configuration import configure
    from zenskar.plugins.invoker import PluginInvoker
    from zenskar.plugins.lifecycle import OPEN_SECONDS, start, stop
    from zenskar.plugins.router import PluginRouter
    from zenskar.telemetry.metrics import Metrics

    known = configure(plugins, settings, environment)
    try:
        problems = await asyncio.gather(*(start(each, OPEN_SECONDS) for each in known.values()))
        router = PluginRouter({name: each.integration for name, each in known.items()})
        failed = {n: problem for n, problem in zip(known, problems, strict=True) if problem}
        yield OpenConnections(known, router, PluginInvoker(router, Metrics()), failed)
    finally:
        await asyncio.gather(*(stop(each) for each in known.values()))


@asynccontextmanager
async def _open_engine(settings: "Settings") -> "AsyncIterator[AsyncEngine]":
    from zenskar.db.driver.database import open_engine

    session.require_database(settings)
    async with open_engine(settings, "zenskar doctor") as engine:
        yield engine


async def _api(settings: "Settings", running: str) -> "Finding":
    """Ask the API whether it is ready, at the address of the running `zenskar dev` if any."""
    import aiohttp

    from zenskar.ops.checks.finding import note, ok

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared only
    url = running or f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    try:
        return ok("api", f"{url} is {await _readiness(url)}")
    except (aiohttp.ClientError, OSError, ValueError, KeyError):
        return note("api", f"nothing answers at {url}", "start `zenskar api`, or `zenskar dev`")


async def _readiness(url: str) -> str:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as client,
        client.get(f"{url}/health/ready") as response,
    ):
        return str((await response.json())["status"])
