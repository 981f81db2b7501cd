"""Run the API, a worker, the database and the sandboxes in one process."""

import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from zenskar.api.server import serve, serve_console
from zenskar.cli.data_folder import DataFolder, DevState
from zenskar.cli.dev.ports import local_address, reserved_port
from zenskar.cli.dev.ready import Ready
from zenskar.cli.dev.sandboxes import Sandboxes, run_sandboxes
from zenskar.cli.process import in_background, stop_signals
from zenskar.db.driver.database import open_database, open_engine, with_database
from zenskar.db.schema import migrate
from zenskar.db.schema.present import require_reachable
from zenskar.plugins.connection_settings import missing_settings
from zenskar.plugins.discovery import discover
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import Settings
from zenskar.telemetry.tracing_setup import recorded_spans

if TYPE_CHECKING:
    import asyncio


class DevServer:
    """The API, a worker and the sandboxes on the data of one folder."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        *,
        requested: Collection[str] = (),
    ) -> None:
        self._folder = DataFolder(settings.data_dir)
        self._settings = settings.model_copy(update={"data_dir": self._folder.path})
        self._environment = environment
        self._requested = requested
        self._plugins = discover()

    async def run(self, announce: Callable[[Ready], None], *, fresh: bool) -> None:
        """Serve until a signal arrives; call `announce` when everything is ready."""
        host = self._settings.host
        async with stop_signals() as stopping:
            with self._folder.hold(), reserved_port(host, self._settings.port) as (port, held):
                public_url = self._settings.public_url or local_address(host, port)
                update = {"port": port, "public_url": public_url}
                self._settings = self._settings.model_copy(update=update)
                if fresh:
                    await self._folder.clear()
                async with self._runtime() as (runtime, sandboxes):
                    held.close()
                    await self._serve(runtime, sandboxes, announce, stopping)

    @asynccontextmanager
    async def _runtime(self) -> AsyncIterator[tuple[Runtime, Sandboxes]]:
        settings, environment, plugins = self._settings, self._environment, self._plugins
        running = run_sandboxes(plugins, settings, environment, self._folder, self._requested)
        async with running as sandboxes:
            variables = {**environment, **sandboxes.variables}
            async with (
                _migrated(settings) as url,
                recorded_spans(os.environ, "zenskar-dev") as tracing,
                open_runtime(
                    with_database(settings, url),
                    variables,
                    plugins=plugins,
                    application="zenskar dev",
                    tracing=tracing,
                ) as runtime,
            ):
                yield runtime, sandboxes

    async def _serve(
        self,
        runtime: Runtime,
        sandboxes: Sandboxes,
        announce: Callable[[Ready], None],
        stopping: "asyncio.Event",
    ) -> None:
        async with (
            runtime.watched_loop(),
            in_background(runtime.worker().run(stopping), stopping),
            serve(runtime.api(), self._settings.host, self._settings.port, self._settings) as api,
            serve_console(runtime.console, self._settings, api) as console,
        ):
            state = DevState(os.getpid(), api, dict(sandboxes.urls), dict(sandboxes.variables))
            self._folder.write_state(state)
            if not stopping.is_set():
                announce(self._ready(runtime, sandboxes, api, console))
            await stopping.wait()

    def _ready(self, runtime: Runtime, sandboxes: Sandboxes, api: str, console: str) -> Ready:
        return Ready(
            api=api,
            docs=f"{api}/docs",
            console=f"{console}/console",
            sandboxes=sandboxes.urls,
            first_steps=sandboxes.first_steps,
            connections=tuple(runtime.connections),
            unconnected={
                name: missing_settings(plugin, name, self._environment)
                for name, plugin in self._plugins.items()
                if plugin.integration is not None and name not in runtime.connections
            },
            problems={name: p.problem for name, p in self._plugins.items() if p.problem},
            data_dir=self._folder.path,
        )


@asynccontextmanager
async def _migrated(settings: Settings) -> AsyncIterator[str]:
    async with open_database(settings) as url:
        async with open_engine(with_database(settings, url)) as engine:
            await require_reachable(engine)
        await migrate.upgrade(url)
        yield url
