"""The sandboxes of `zenskar dev`: stand-ins for external systems without credentials."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zenskar.cli.data_folder import DataFolder
from zenskar.cli.dev.ports import local_address
from zenskar.errors import ConfigurationError
from zenskar.plugins.connection_settings import missing_settings, variable
from zenskar.plugins.discovery import Plugin
from zenskar.settings import Settings

if TYPE_CHECKING:
    from zenskar import SandboxInfo


@dataclass(slots=True)
class Sandboxes:
    """The addresses of the running sandboxes by connection, and the settings of the connections."""

    urls: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    first_steps: dict[str, str] = field(default_factory=dict)

    def add(self, connection: str, info: "SandboxInfo") -> None:
        """Add a running sandbox."""
        self.urls[connection] = info.url
        if info.first_step:
            self.first_steps[connection] = info.first_step
        self.variables |= {
            variable(connection, name): str(value) for name, value in info.settings.items()
        }


@asynccontextmanager
async def run_sandboxes(
    plugins: Mapping[str, Plugin],
    settings: Settings,
    environment: Mapping[str, str],
    folder: DataFolder,
    requested: Collection[str] = (),
) -> AsyncIterator[Sandboxes]:
    """Run a sandbox for each connection without credentials whose plugin offers one.

    Some plugins offer it only for `requested` connections. Raises `ConfigurationError` for a
    requested connection that gets no sandbox.
    """
    found, api = Sandboxes(), local_address(settings.host, settings.port)
    async with AsyncExitStack() as stack:
        for connection, plugin in _connections(plugins, settings, requested).items():
            if not lacks_credentials(plugin, connection, environment):
                continue
            data_dir = folder.sandbox(connection)
            sandbox = _offered(plugin, data_dir, f"{api}/webhooks/{connection}")
            if sandbox is not None:
                data_dir.mkdir(parents=True, exist_ok=True)
                found.add(connection, await _enter(stack, connection, sandbox))
        _check(requested, found)
        yield found


def lacks_credentials(plugin: Plugin, connection: str, environment: Mapping[str, str]) -> bool:
    """Return whether the first required setting of a plugin is missing.

    That setting holds the credentials: with it, the connection uses the real system, even when
    other settings are missing.
    """
    if plugin.integration is None:
        return False
    required = [variable(connection, s.name) for s in plugin.integration.settings if s.required]
    return required[:1] == list(missing_settings(plugin, connection, environment)[:1]) != []


def _check(requested: Collection[str], found: Sandboxes) -> None:
    missing = sorted(set(requested) - found.urls.keys())
    if missing:
        raise ConfigurationError(
            f"no sandbox starts for {', '.join(missing)}: no connection has this name, its plugin "
            "has no sandbox, or its credentials are set"
        )


def _connections(
    plugins: Mapping[str, Plugin], settings: Settings, requested: Collection[str]
) -> dict[str, Plugin]:
    """Return the usable plugins by connection; `configure` reports wrong connections later."""
    if settings.connections is None:
        return {
            name: p
            for name, p in plugins.items()
            if p.integration is not None
            and (name in requested or not p.integration.sandbox_on_request)
        }
    pairs = [item.strip().partition("=") for item in settings.connections.split(",")]
    wanted = {name: plugins.get(plugin or name) for name, _, plugin in pairs}
    return {n: p for n, p in wanted.items() if p is not None and p.integration is not None}


def _offered(
    plugin: Plugin, data_dir: Path, webhook_url: str
) -> "AbstractAsyncContextManager[SandboxInfo] | None":
    return plugin.integration.sandbox(data_dir, webhook_url) if plugin.integration else None


async def _enter(
    stack: AsyncExitStack,
    connection: str,
    sandbox: "AbstractAsyncContextManager[SandboxInfo]",
) -> "SandboxInfo":
    try:
        return await stack.enter_async_context(sandbox)
    except Exception as error:
        raise ConfigurationError(
            f"the sandbox of {connection} does not start: {error}; "
            "`zenskar dev --fresh` begins without data"
        ) from error
