"""Build the integration of every connection from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from zenskar.errors import ConfigurationError, Violation, ZenskarError
from zenskar.kernel import MergePolicy
from zenskar.model.call_limit import DAY_SECONDS, CallLimit
from zenskar.model.coverage import Coverage
from zenskar.model.fields import Fields
from zenskar.model.integration import Connection
from zenskar.model.sync_event import NO_SOURCE
from zenskar.plugins import declaration_problems
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.carried import carried, covered
from zenskar.plugins.connection_settings import (
    PROFILE,
    missing_settings,
    read_match_by,
    read_merge_policy,
    read_value,
    variable,
)
from zenskar.plugins.discovery import Plugin
from zenskar.plugins.failure_text import one_line
from zenskar.plugins.profile.field_routes import FieldRoutes
from zenskar.plugins.profile.profile_file import ProfileError
from zenskar.plugins.profile.profiles import Profile, load_profile
from zenskar.plugins.profile.record_filter import RecordFilter
from zenskar.plugins.profile.record_rules import RecordRules
from zenskar.settings import PREFIX, Settings, lookup, overridden, own_settings
from zenskar.telemetry.stack_traces import place

_NO_CONNECTION = "has broadcast hooks only, so it has no connection"


@dataclass(frozen=True, slots=True)
class ConfiguredConnection:
    """A connection that the settings describe, with its policies.

    `settings` are the general settings with this connection's overrides. Its feed, if any, is read
    every `poll_seconds`. `match_by` names by entity type the fields by which unknown objects are
    matched with records. With a `problem`, the `__init__` of the integration has failed, and the
    integration cannot be used; the same holds for a `profile_problem`, which a restart alone
    removes. `routes`, `rules` and `filters` are those of its profile, by entity type, and
    `profile_digest` identifies its content. `call_limits` has the operator's limit of
    `daily_calls`, if any.
    """

    connection: Connection
    plugin: Plugin
    integration: BaseIntegration
    merge_policy: MergePolicy
    propagate_deletes: bool
    settings: Settings
    poll_seconds: float
    match_by: Mapping[str, tuple[str, ...]]
    problem: str | None = None
    routes: Mapping[str, FieldRoutes] = field(default_factory=dict)
    rules: Mapping[str, RecordRules] = field(default_factory=dict)
    filters: Mapping[str, RecordFilter] = field(default_factory=dict)
    profile_problem: str | None = None
    profile_digest: str | None = None
    call_limits: tuple[CallLimit, ...] = ()
    daily_calls: int | None = None

    def coverage(self, entity_type: str) -> Coverage | None:
        """Return the parts of a record that travel to the connection, None for all."""
        routes = self.routes.get(entity_type)
        if routes is not None:
            return routes.coverage
        return covered(carried(self.integration, entity_type))

    def travels(self, entity_type: str, fields: Fields) -> bool:
        """Return whether a record passes the filter of the profile; without a filter, all do."""
        condition = self.filters.get(entity_type)
        return condition is None or condition.passes(fields)

    def new_violations(
        self, entity_type: str, fields: Fields, before: Fields | None
    ) -> list[Violation]:
        """Return the rules of the profile that a change breaks, if its record travels.

        `before` are the fields before the change, None for a new record. A record that begins to
        travel is new to the connection.
        """
        rules = self.rules.get(entity_type)
        if rules is None or not self.travels(entity_type, fields):
            return []
        known = before is not None and self.travels(entity_type, before)
        return rules.new_violations(fields, before if known else None)


def configure(
    plugins: Mapping[str, Plugin], settings: Settings, environment: Mapping[str, str]
) -> dict[str, ConfiguredConnection]:
    """Build the connections that the settings name, or one for each plugin with its settings.

    A connection whose plugin cannot be used is left out: see `unusable_connections`. Raises
    `ConfigurationError` when a setting is missing, wrong or shared by two connections.
    """
    wanted = _configured_plugins(plugins, settings, environment)
    _refuse_shared_variables(plugins, wanted)
    return {
        name: _build_connection(name, plugins[plugin], settings, environment)
        for name, plugin in wanted.items()
        if plugins[plugin].integration is not None
    }


def unusable_connections(
    plugins: Mapping[str, Plugin], settings: Settings, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the configured connections whose plugin cannot be used, with the reason."""
    return {
        name: f"plugin {plugin} {plugins[plugin].problem or _NO_CONNECTION}"
        for name, plugin in _configured_plugins(plugins, settings, environment).items()
        if plugins[plugin].integration is None
    }


def _configured_plugins(
    plugins: Mapping[str, Plugin], settings: Settings, environment: Mapping[str, str]
) -> dict[str, str]:
    if settings.connections is None:
        return {
            name: name
            for name, plugin in plugins.items()
            if plugin.integration is not None and not missing_settings(plugin, name, environment)
        }
    pairs: dict[str, str] = {}
    for item in filter(None, map(str.strip, settings.connections.split(","))):
        name, _, plugin_name = item.partition("=")
        plugin_name = plugin_name or name
        if not declaration_problems.NAME.fullmatch(name) or name in {*pairs, NO_SOURCE}:
            raise ConfigurationError(
                f"ZENSKAR_CONNECTIONS: {name!r} is not a name of its own "
                "(lower-case letters, digits and _, each once)"
            )
        if plugin_name not in plugins:
            known = ", ".join(sorted(plugins)) or "none"
            raise ConfigurationError(
                f"ZENSKAR_CONNECTIONS: no plugin {plugin_name!r} is installed; there are: {known}"
            )
        pairs[name] = plugin_name
    return pairs


def _refuse_shared_variables(plugins: Mapping[str, Plugin], wanted: Mapping[str, str]) -> None:
    """Refuse two connections that share a variable: `a` with `b_key`, `a_b` with `key`."""
    owners: dict[str, str] = {}
    for name, plugin in wanted.items():
        if variable(name, "") == PREFIX:
            raise ConfigurationError(
                f"a connection cannot be called {name}: {PREFIX}… holds the settings of zenskar"
            )
        integration = plugins[plugin].integration
        for setting in integration.settings if integration else ():
            shared = owners.setdefault(variable(name, setting.name), name)
            if shared != name:
                raise ConfigurationError(
                    f"connections {shared} and {name} both read {variable(name, setting.name)}: "
                    "rename one of them in ZENSKAR_CONNECTIONS"
                )


def _build_connection(
    name: str, plugin: Plugin, settings: Settings, environment: Mapping[str, str]
) -> ConfiguredConnection:
    if plugin.integration is None:
        raise ValueError(f"plugin {plugin.name} has no integration")
    if missing := missing_settings(plugin, name, environment):
        raise ConfigurationError(f"connection {name} needs {', '.join(missing)}")
    values = {s.name: read_value(name, s, environment) for s in plugin.integration.settings}
    connection = Connection(name, values)
    integration, problem = _instantiate(plugin.integration, connection)
    profile, profile_problem = _load_profile(name, integration, environment)
    merge_policy = read_merge_policy(name, environment, settings.conflict_policy)
    own, alone = overridden(settings, environment, name), own_settings(environment, name)
    declared = plugin.integration.poll_every
    restores = not plugin.integration.deletes_are_final and own.on_restore == "undelete"
    return ConfiguredConnection(
        connection=connection,
        plugin=plugin,
        integration=integration,
        merge_policy=replace(
            merge_policy,
            per_field={**merge_policy.per_field, **profile.policies},
            restores=restores,
        ),
        propagate_deletes=own.propagate_deletes,
        settings=own,
        poll_seconds=alone.poll_seconds
        or (declared.total_seconds() if declared else settings.sweep_seconds),
        match_by=read_match_by(name, plugin.integration, environment),
        problem=profile_problem or problem,
        routes=profile.routes,
        rules=profile.rules,
        filters=profile.filters,
        profile_problem=profile_problem,
        profile_digest=profile.digest,
        call_limits=_call_limits(plugin.integration, alone.daily_calls),
        daily_calls=alone.daily_calls,
    )


def _load_profile(
    name: str, integration: BaseIntegration, environment: Mapping[str, str]
) -> tuple[Profile, str | None]:
    """Return the profile of a connection, or the problem that turns the connection off."""
    path = lookup(environment, variable(name, PROFILE))
    if path is None:
        return Profile(), None
    try:
        return load_profile(Path(path), integration), None
    except ProfileError as error:
        return Profile(), str(error)


def _call_limits(kind: type[BaseIntegration], daily_calls: int | None) -> tuple[CallLimit, ...]:
    """Return the declared limits; an operator's limit of a day replaces the declared one."""
    if daily_calls is None:
        return kind.call_limits
    declared = (limit for limit in kind.call_limits if not limit.daily)
    return (*declared, CallLimit(calls=daily_calls, seconds=DAY_SECONDS))


def rebuild(connection: ConfiguredConnection) -> ConfiguredConnection:
    """Return the connection with a new integration object."""
    integration, problem = _instantiate(type(connection.integration), connection.connection)
    return replace(
        connection, integration=integration, problem=connection.profile_problem or problem
    )


def _instantiate(
    kind: type[BaseIntegration], connection: Connection
) -> tuple[BaseIntegration, str | None]:
    """Build an integration; when its `__init__` fails, return an unfinished one and the reason."""
    try:
        return kind(connection), None
    except KeyboardInterrupt:
        raise
    except ZenskarError as error:
        problem = one_line(str(error))
    except BaseException as error:  # noqa: BLE001 - `sys.exit` in a plugin must not end a command
        problem = f"`__init__` failed: {place(error)}"
    unfinished = kind.__new__(kind)
    BaseIntegration.__init__(unfinished, connection)
    return unfinished, problem
