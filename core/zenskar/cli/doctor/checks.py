"""The checks of `zenskar doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from zenskar.cli.data_folder import DataFolder, DevState
from zenskar.cli.doctor import check_bus, check_clocks, check_database
from zenskar.cli.doctor.result import Finding, failed, note, ok
from zenskar.errors import ConfigurationError, ZenskarError
from zenskar.model.call_limit import Usage
from zenskar.model.integration import Health
from zenskar.plugins.configuration import ConfiguredConnection, configure, unusable_connections
from zenskar.plugins.connection_settings import missing_settings
from zenskar.plugins.discovery import Plugin, discover
from zenskar.plugins.invoker import PluginInvoker
from zenskar.plugins.lifecycle import OPEN_SECONDS, start, stop
from zenskar.plugins.router import PluginRouter
from zenskar.settings import Settings
from zenskar.sync.clocks import offset_of
from zenskar.sync.resilience.call_usage import checked_usage
from zenskar.telemetry.metrics import Metrics

_CALL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Checkup:
    """The input of the checks. `dev` is the running `zenskar dev` of the data folder, if any."""

    settings: Settings
    environment: Mapping[str, str]
    plugins: Mapping[str, Plugin]
    dev: DevState | None

    @classmethod
    def of(cls, settings: Settings, environment: Mapping[str, str]) -> "Checkup":
        """Return a checkup of the installed plugins and the running `zenskar dev`."""
        embedded = settings.database_url is None
        running = DataFolder(settings.data_dir).running() if embedded else None
        return cls(settings, environment, discover(), running)

    async def run(self) -> list[Finding]:
        """Return the findings, in the order in which to fix them."""
        findings = [self._plugin(plugin) for _, plugin in sorted(self.plugins.items())]
        if not findings:
            findings = [
                failed(
                    "plugins",
                    "none is installed",
                    "pip install zenskar-NAME, for a system to sync with",
                )
            ]
        findings += await self._connections()
        findings += await check_database.check(self.settings, dev=self.dev is not None)
        findings += await check_bus.check(self.settings)
        return [*findings, await self._api()]

    def _plugin(self, plugin: Plugin) -> Finding:
        part, name = f"plugin {plugin.name}", plugin.name
        if plugin.broadcast is not None:
            return ok(part, f"{plugin.distribution} {plugin.version}, broadcast hooks")
        if plugin.problem or plugin.integration is None:
            return failed(part, plugin.problem or "", f"update or remove {plugin.distribution}")
        required = [setting for setting in plugin.integration.settings if setting.required]
        missing = missing_settings(plugin, name, self.environment)
        if self.settings.connections is not None or not missing:
            return ok(part, f"{plugin.distribution} {plugin.version}")
        if self.dev and name in self.dev.sandboxes:
            return ok(part, f"zenskar dev runs its sandbox at {self.dev.sandboxes[name]}")
        fix = f"set {', '.join(missing)}"
        if len(missing) < len(required):
            return failed(part, "is configured in part", fix)
        return note(part, "is not connected", fix)

    async def _connections(self) -> list[Finding]:
        try:
            configured = configure(self.plugins, self.settings, self.environment)
            lost = unusable_connections(self.plugins, self.settings, self.environment)
        except ConfigurationError as error:
            return [failed("connections", str(error), "fix the setting in the detail")]
        if not configured and not lost and not (self.dev and self.dev.sandboxes):
            fix = "set the settings of a plugin, see `zenskar plugins list`"
            return [failed("connections", "nothing is connected", fix)]
        fix = "see the finding of the plugin"
        findings = [failed(f"connection {n}", problem, fix) for n, problem in lost.items()]
        for name, connection in configured.items():
            findings += await _connection(name, connection)
        return findings

    async def _api(self) -> Finding:
        host, port = self.settings.host, self.settings.port
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        url = (self.dev.api if self.dev else "") or address
        try:
            return ok("api", f"{url} is {await _readiness(url)}")
        except (aiohttp.ClientError, OSError, ValueError, KeyError):
            fix = "start `zenskar api`, or `zenskar dev`"
            return note("api", f"nothing answers at {url}", fix)


async def _readiness(url: str) -> str:
    timeout = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{url}/health/ready") as response,
    ):
        return str((await response.json())["status"])


async def _connection(name: str, connection: ConfiguredConnection) -> list[Finding]:
    part, fix = f"connection {name}", "check its settings, and that its system is reachable"
    if problem := await start(connection, OPEN_SECONDS):
        return [failed(part, problem, fix)]
    try:
        router = PluginRouter({name: connection.integration})
        invoker = PluginInvoker(router, Metrics())
        answer = await invoker.call(name, "health", Health, seconds=_CALL_SECONDS)
        health, account = answer.value, None
        if health.ok:
            account = (await invoker.call(name, "account", object, seconds=_CALL_SECONDS)).value
        used = _usage(router, name)
    except ZenskarError as error:
        return [failed(part, str(error), fix)]
    finally:
        await stop(connection)
    detail = ", ".join((health.detail, *([f"account {account}"] if account else []), *used))
    found = ok(part, detail) if health.ok else failed(part, health.detail, fix)
    if health.answered_at is None:
        return [found]
    offset = offset_of(answer.timing, health.answered_at)
    return [found, check_clocks.check_offset(f"clock of {name}", offset)]


def _usage(router: PluginRouter, name: str) -> list[str]:
    """Return the calls that the external system counts, in words."""
    try:
        return [_used(checked_usage(each)) for each in router.call(name, "usage")]
    except Exception as error:  # noqa: BLE001 - a failed check is a result, not a crash
        return [f"`usage` failed: {type(error).__name__}"]


def _used(usage: Usage) -> str:
    of = "" if usage.calls is None else f" of {usage.calls}"
    return f"{usage.used}{of} calls used{f' at {usage.limit}' if usage.limit else ''}"
