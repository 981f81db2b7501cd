"""Find the installed plugins.

pluggy's own entry-point loader stops at the first plugin that cannot be imported, and silently
skips a second distribution with the same name. This loader checks each plugin on its own.
"""

import importlib.resources
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from importlib_metadata import EntryPoint, entry_points

from zenskar.plugins import broadcasts, declaration_problems
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.failure_text import described
from zenskar.schema_catalog import Schema, load_folder

GROUP = "zenskar.plugins"


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin: its class or its broadcast hooks, or the problem that prevents its use.

    `broadcast` is the object with the hooks of a plugin without a connection.
    """

    name: str
    distribution: str
    version: str
    integration: type[BaseIntegration] | None = None
    problem: str | None = None
    schemas: Mapping[str, Schema] = field(default_factory=dict, repr=False)
    broadcast: object | None = None

    @property
    def kind(self) -> str | None:
        """The kind of the plugin, integration or broadcast; None for one that cannot be used."""
        if self.broadcast is not None:
            return "broadcast"
        return "integration" if self.integration is not None else None


def discover(candidates: Iterable[EntryPoint] | None = None) -> dict[str, Plugin]:
    """Load every installed plugin; a plugin that fails is returned with its `problem`."""
    found = list(entry_points(group=GROUP) if candidates is None else candidates)
    counts = Counter(entry.name for entry in found)
    plugins: dict[str, Plugin] = {}
    for entry in found:
        plugin = _load(entry)
        if counts[entry.name] > 1:
            owners = ", ".join(sorted(_distribution(e)[0] for e in found if e.name == entry.name))
            plugin = Plugin(
                entry.name, owners, "", problem=f"several distributions claim this name: {owners}"
            )
        plugins[entry.name] = plugin
    return plugins


def broadcast_plugins(plugins: Mapping[str, Plugin]) -> dict[str, object]:
    """Return the objects with the hooks of the plugins without a connection."""
    return {name: p.broadcast for name, p in plugins.items() if p.broadcast is not None}


def package_of(plugin: Any) -> str:
    """Return the top-level package that holds a plugin's code and schemas."""
    name: str = plugin.__name__ if isinstance(plugin, ModuleType) else plugin.__module__
    return name.partition(".")[0]


def _load(entry: EntryPoint) -> Plugin:
    distribution, version = _distribution(entry)
    try:
        integration = entry.load()
        if not declaration_problems.is_integration(integration):
            return _load_broadcast(entry, integration)
        problem = declaration_problems.find_problem(entry.name, integration)
        schemas = {} if problem else load_folder(_schemas_folder(integration))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - `sys.exit` in a plugin must not end a command
        return Plugin(
            entry.name, distribution, version, problem=f"cannot be loaded: {described(error)}"
        )
    if problem:
        return Plugin(entry.name, distribution, version, problem=problem)
    return Plugin(entry.name, distribution, version, integration, schemas=schemas)


def _load_broadcast(entry: EntryPoint, loaded: Any) -> Plugin:
    """Return a plugin without a connection; a class is instantiated without arguments."""
    distribution, version = _distribution(entry)
    plugin = loaded() if isinstance(loaded, type) else loaded
    problem = declaration_problems.find_name_problem(entry.name) or broadcasts.find_problem(
        entry.name, plugin
    )
    if problem:
        return Plugin(entry.name, distribution, version, problem=problem)
    return Plugin(entry.name, distribution, version, broadcast=plugin)


def _schemas_folder(integration: type[BaseIntegration]) -> Any:
    return importlib.resources.files(package_of(integration)) / "schemas"


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "")
