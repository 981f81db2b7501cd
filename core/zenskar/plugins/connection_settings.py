"""Read the settings of a connection from its own environment variables."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from zenskar.errors import ConfigurationError
from zenskar.kernel import ConflictPolicy, MergePolicy
from zenskar.kernel.policy import Side
from zenskar.model.fields import CUSTOMER, SHAPES
from zenskar.model.integration import Setting
from zenskar.plugins import declaration_problems
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.discovery import Plugin
from zenskar.settings import lookup

PROFILE = "profile"
"""The setting of a connection that names the file of its profile."""
_OFF = "off"
_FINITE = ConfigDict(allow_inf_nan=False)
_JOIN_POLICIES = MappingProxyType(
    {
        Side.INTERNAL: ConflictPolicy.INTERNAL_WINS,
        Side.EXTERNAL: ConflictPolicy.EXTERNAL_WINS,
    }
)


def missing_settings(
    plugin: Plugin, connection: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the required variables of a connection that are not set."""
    if plugin.integration is None:
        return ()
    return tuple(
        variable(connection, setting.name)
        for setting in plugin.integration.settings
        if setting.required and lookup(environment, variable(connection, setting.name)) is None
    )


def variable(connection: str, name: str) -> str:
    """Return the environment variable of a connection's setting."""
    return f"{connection}_{name}".upper()


def read_value(connection: str, setting: Setting, environment: Mapping[str, str]) -> Any:
    """Return the value of a setting. Raises `ConfigurationError` for a value of another type."""
    name = variable(connection, setting.name)
    text = lookup(environment, name)
    if text is None:
        return setting.default
    try:
        return TypeAdapter(setting.kind, config=_FINITE).validate_python(text)
    except ValidationError:
        raise ConfigurationError(f"{name} must be of type {setting.kind.__name__}") from None


def read_match_by(
    name: str, kind: type[BaseIntegration], environment: Mapping[str, str]
) -> Mapping[str, tuple[str, ...]]:
    """Return the fields by which objects are matched: the connection's own, or the declared ones.

    Raises `ConfigurationError` when the setting of the connection is wrong.
    """
    text = lookup(environment, variable(name, "match_by"))
    if text is None:
        return kind.match_by
    if text.strip().lower() == _OFF:
        return {}
    names = tuple(map(str.strip, text.split(",")))
    entities = [each for each in kind.entities if each in SHAPES]
    for entity_type in entities:
        if problem := declaration_problems.find_match_problem(kind, entity_type, names):
            raise ConfigurationError(f"{variable(name, 'match_by')}: {problem}; or {_OFF}")
    return dict.fromkeys(entities, names)


def read_merge_policy(connection: str, environment: Mapping[str, str], default: str) -> MergePolicy:
    """Return the policy for conflicts and joins; `default` is the one of all connections.

    Raises `ConfigurationError` when a setting of the connection is wrong.
    """
    own = lookup(environment, variable(connection, "conflict_policy"))
    join_winner = lookup(environment, variable(connection, "join_winner"))
    return _with_join_winner(connection, _parse_policy(connection, own or default), join_winner)


def _parse_policy(connection: str, text: str) -> MergePolicy:
    """Parse `internal_wins` or `internal_wins,email=external_wins`."""
    default, per_field = ConflictPolicy.INTERNAL_WINS, {}
    try:
        for item in text.split(","):
            left, separator, right = item.strip().partition("=")
            if separator:
                per_field[left] = ConflictPolicy(right)
            else:
                default = ConflictPolicy(left)
    except ValueError:
        raise ConfigurationError(
            f"{variable(connection, 'conflict_policy')}: use {', '.join(ConflictPolicy)}, "
            "with exceptions as in internal_wins,email=external_wins"
        ) from None
    return MergePolicy(default, per_field)


def _with_join_winner(connection: str, policy: MergePolicy, text: str | None) -> MergePolicy:
    """Parse `external` or `internal,phone=external`, if given."""
    if text is None:
        return policy
    default, per_field, known = None, {}, {name: name for name in CUSTOMER.names}
    try:
        for item in text.split(","):
            left, separator, right = item.strip().partition("=")
            winner = _JOIN_POLICIES[Side(right if separator else left)]
            if separator:
                per_field[known[left]] = winner
            else:
                default = winner
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"{variable(connection, 'join_winner')}: use {' or '.join(Side)}, "
            "with exceptions by field as in internal,phone=external"
        ) from None
    return replace(policy, join_default=default, join_per_field=per_field)
