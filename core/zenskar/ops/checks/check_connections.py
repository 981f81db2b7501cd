"""Check the connections: their integration, their credentials, their calls and their clock."""

from collections.abc import Mapping
from dataclasses import dataclass

from zenskar.errors import ZenskarError
from zenskar.model.call_limit import Usage
from zenskar.model.integration import Health
from zenskar.ops.checks import check_clocks
from zenskar.ops.checks.finding import Finding, failed, ok
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.invoker import PluginInvoker
from zenskar.plugins.router import PluginRouter
from zenskar.sync.clocks import offset_of
from zenskar.sync.resilience.call_usage import checked_usage

FIX = "check its settings, and that its system is reachable"
_CALL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OpenConnections:
    """The integrations of a process, and the problem of each that does not work, by connection."""

    connections: Mapping[str, ConfiguredConnection]
    router: PluginRouter
    invoker: PluginInvoker
    problems: Mapping[str, str]

    @property
    def problems_of_plugins(self) -> dict[str, str]:
        """The problems by the name of the plugin."""
        return {
            self.connections[name].plugin.name: f"connection {name} is off: {problem}"
            for name, problem in self.problems.items()
        }


async def check(opened: OpenConnections, name: str) -> list[Finding]:
    """Call the health check of a connection, and compare its clock."""
    part = f"connection {name}"
    if problem := opened.problems.get(name):
        return [failed(part, problem, FIX)]
    try:
        answer = await opened.invoker.call(name, "health", Health, seconds=_CALL_SECONDS)
        health, account = answer.value, None
        if health.ok:
            called = await opened.invoker.call(name, "account", object, seconds=_CALL_SECONDS)
            account = called.value
        used = _usage(opened.router, name)
    except ZenskarError as error:
        return [failed(part, str(error), FIX)]
    detail = ", ".join((health.detail, *([f"account {account}"] if account else []), *used))
    found = ok(part, detail) if health.ok else failed(part, health.detail, FIX)
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
