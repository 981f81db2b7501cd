"""The limits that external systems set on the fields of a record."""

from collections.abc import Mapping
from typing import Any

from zenskar.errors import SchemaViolation, Violation
from zenskar.model.fields import FieldChanges, Fields, keep, merge_patch
from zenskar.plugins.carried import carried, limits_name
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.profile.field_routes import FieldRoutes


class FieldLimits:
    """Checks changes against the limits of each connection's system, and against its profile.

    An integration declares its limits as `schemas/<entity>.limits.schema.json`, over the canonical
    form, or names another schema in `limits`. Unchanged members are not checked: an external system
    may hold any value.
    """

    def __init__(self, connections: Mapping[str, ConfiguredConnection]) -> None:
        self._connections = connections

    def check(self, entity_type: str, changes: FieldChanges, before: Fields | None = None) -> None:
        """Raise `SchemaViolation`, with the connection's name, when a change exceeds a limit.

        `before` are the fields before the change, None for a create.
        """
        changed = changes if before is None else _without_unchanged(before, changes)
        written = {path: value for path, value in changed.items() if value is not None}
        found = [
            violation
            for name, connection in self._connections.items()
            for violation in _violations(name, connection, entity_type, written)
        ]
        if found:
            raise SchemaViolation(entity_type, found)

    def check_rules(self, entity_type: str, fields: Fields, before: Fields | None) -> None:
        """Raise `SchemaViolation` when a change breaks a rule of a connection's profile.

        `before` are the fields before the change, None for a create. A rule that they broke is not
        checked, unless the record begins to travel to that connection.
        """
        found = [
            Violation(each.pointer, f"{each.message} for connection {name}")
            for name, connection in self._connections.items()
            for each in connection.new_violations(entity_type, fields, before)
        ]
        if found:
            raise SchemaViolation(entity_type, found)

    def outside(self, entity_type: str, fields: Fields) -> frozenset[str]:
        """Return the connections whose filter a record does not pass."""
        return frozenset(
            name
            for name, connection in self._connections.items()
            if not connection.travels(entity_type, fields)
        )


def _violations(
    name: str, connection: ConfiguredConnection, entity_type: str, written: Fields
) -> list[Violation]:
    limits = connection.plugin.schemas.get(limits_name(connection.integration, entity_type))
    if limits is None or not connection.settings.enforce_limits:
        return []
    if entity_type not in connection.integration.entities:
        return []
    routes = connection.routes.get(entity_type)
    shape = carried(connection.integration, entity_type)
    document = merge_patch(shape, keep(shape.names, written))
    try:
        limits.check(document if routes is None else routes.written(written))
    except SchemaViolation as error:
        return [
            Violation(_here(routes, each.pointer), f"{each.message} for connection {name}")
            for each in error.violations
        ]
    return []


def _without_unchanged(before: Fields, changes: FieldChanges) -> dict[str, Any]:
    """Return changes without their unchanged members."""
    return {path: _part(before.get(path), value) for path, value in changes.items()}


def _part(before: Any, value: Any) -> Any:
    if not (isinstance(before, Mapping) and isinstance(value, Mapping)):
        return value
    return {name: inner for name, inner in value.items() if inner != before.get(name)}


def _here(routes: FieldRoutes | None, pointer: str) -> str:
    """Return the pointer here of a place in the connection's documents."""
    return pointer if routes is None else routes.part_at(pointer) or pointer
