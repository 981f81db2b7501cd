"""List the installed plugins with the settings that a process has for them, without values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from zenskar.errors import ConfigurationError
from zenskar.plugins.configuration import unusable_connections
from zenskar.plugins.connection_settings import missing_settings, variable
from zenskar.plugins.discovery import Plugin
from zenskar.settings import Settings, lookup


@dataclass(frozen=True, slots=True)
class SettingState:
    """A variable of a plugin's connection of the same name, and whether it is set."""

    variable: str
    set: bool
    required: bool
    secret: bool
    help: str


@dataclass(frozen=True, slots=True)
class PluginState:
    """An installed plugin, the problem that prevents its use, and its missing variables."""

    name: str
    distribution: str
    version: str
    kind: str | None
    problem: str | None
    entities: Sequence[str]
    missing: Sequence[str]
    settings: Sequence[SettingState]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PluginInventory:
    """The installed plugins by name, and the connections whose plugin cannot be used."""

    plugins: Sequence[PluginState]
    unusable: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, plugins: Mapping[str, Plugin], settings: Settings, environment: Mapping[str, str]
    ) -> "PluginInventory":
        """Return the plugins as these settings configure them."""
        states = [_state(plugin, environment) for _, plugin in sorted(plugins.items())]
        try:
            unusable = unusable_connections(plugins, settings, environment)
        except ConfigurationError:
            unusable = {}  # the checkup reports a wrong setting
        return cls(states, unusable)

    def with_problems(self, problems: Mapping[str, str]) -> "PluginInventory":
        """Return the plugins with the problems of their connections, by the name of the plugin."""
        shown = [replace(p, problem=p.problem or problems.get(p.name)) for p in self.plugins]
        return replace(self, plugins=shown)


def _state(plugin: Plugin, environment: Mapping[str, str]) -> PluginState:
    integration = plugin.integration
    return PluginState(
        plugin.name,
        plugin.distribution,
        plugin.version,
        plugin.kind,
        plugin.problem,
        tuple(integration.entities) if integration else (),
        missing_settings(plugin, plugin.name, environment),
        [
            SettingState(
                name := variable(plugin.name, setting.name),
                lookup(environment, name) is not None,
                setting.required,
                setting.secret,
                setting.help,
            )
            for setting in (integration.settings if integration else ())
        ],
    )
