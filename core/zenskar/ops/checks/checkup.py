"""Check every part of an installation: plugins, connections, database, bus."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.errors import ConfigurationError
from zenskar.ops.checks import check_bus, check_connections, check_database
from zenskar.ops.checks.check_connections import OpenConnections
from zenskar.ops.checks.finding import CheckupReport, Finding, failed, note, ok
from zenskar.plugins.inventory import PluginInventory, PluginState
from zenskar.settings import Settings

PART_SECONDS = 10.0
"""The parts are checked concurrently, so a checkup takes little longer."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """The parts to check, each within a time limit.

    `connections` and `engine` open those that the checks use, and close them if they are not the
    ones of a running process. `sandboxes` are the addresses of connections that run on this
    machine. `others` are checks of parts that only the caller knows.
    """

    settings: Settings
    inventory: PluginInventory
    connections: Callable[[], AbstractAsyncContextManager[OpenConnections]]
    engine: Callable[[], AbstractAsyncContextManager[AsyncEngine]]
    sandboxes: Mapping[str, str] = field(default_factory=dict)
    needs_keys: bool = True
    others: tuple[Callable[[], Awaitable[list[Finding]]], ...] = ()

    async def run(self) -> CheckupReport:
        """Return the findings, in the order in which to fix them."""
        found = await asyncio.gather(
            self._connections(),
            _bounded("database", self._database, check_database.FIX),
            _bounded("kafka", lambda: check_bus.check(self.settings), check_bus.FIX),
            *(other() for other in self.others),
        )
        return CheckupReport([*self._plugins(), *(each for part in found for each in part)])

    def _plugins(self) -> list[Finding]:
        if self.inventory.plugins:
            return [self._plugin(each) for each in self.inventory.plugins]
        fix = "pip install zenskar-NAME, for a system to sync with"
        return [failed("plugins", "none is installed", fix)]

    def _plugin(self, plugin: PluginState) -> Finding:
        part, distribution = f"plugin {plugin.name}", f"{plugin.distribution} {plugin.version}"
        if plugin.problem or plugin.kind is None:
            fix = f"update or remove {plugin.distribution}"
            return failed(part, plugin.problem or "", fix)
        if plugin.kind == "broadcast":
            return ok(part, f"{distribution}, broadcast hooks")
        if self.settings.connections is not None or not plugin.missing:
            return ok(part, distribution)
        if plugin.name in self.sandboxes:
            return ok(part, f"zenskar dev runs its sandbox at {self.sandboxes[plugin.name]}")
        fix = f"set {', '.join(plugin.missing)}"
        if len(plugin.missing) < sum(setting.required for setting in plugin.settings):
            return failed(part, "is configured in part", fix)
        return note(part, "is not connected", fix)

    async def _connections(self) -> list[Finding]:
        unusable, fix = self.inventory.unusable, "see the finding of the plugin"
        findings = [failed(f"connection {n}", problem, fix) for n, problem in unusable.items()]
        try:
            async with self.connections() as opened:
                sources = opened.connections
                if not sources and not unusable and not self.sandboxes:
                    fix = "set the settings of a plugin, see `zenskar plugins list`"
                    return [failed("connections", "nothing is connected", fix)]
                checked = await asyncio.gather(*(_check(opened, name) for name in sources))
        except ConfigurationError as error:
            return [failed("connections", str(error), "fix the setting in the detail")]
        return [*findings, *(each for part in checked for each in part)]

    async def _database(self) -> list[Finding]:
        return await check_database.check(self.engine(), self.settings, needs_keys=self.needs_keys)


async def _check(opened: OpenConnections, name: str) -> list[Finding]:
    part = f"connection {name}"
    return await _bounded(
        part, lambda: check_connections.check(opened, name), check_connections.FIX
    )


async def _bounded(
    part: str, check: Callable[[], Awaitable[list[Finding]]], fix: str
) -> list[Finding]:
    """Return the findings about a part; a part that does not answer in time has failed."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            return await check()
    except TimeoutError:
        return [failed(part, f"no answer within {PART_SECONDS:g} seconds", fix)]
