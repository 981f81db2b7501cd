"""The business rules of broadcast plugins, for changes at the API."""

from zenskar.errors import SchemaViolation, Violation
from zenskar.model.fields import SHAPES, Fields, unflatten
from zenskar.plugins.broadcasts import Broadcaster

_ORIGIN = "api"


class BusinessRules:
    """Checks changes against the rules of all broadcast plugins; deletes are not checked."""

    def __init__(self, broadcaster: Broadcaster) -> None:
        self._broadcaster = broadcaster

    def check(self, entity_type: str, fields: Fields, before: Fields | None) -> None:
        """Raise `SchemaViolation`, with the plugins' names, when a plugin refuses a change.

        `before` are the fields before the change, None for a create.
        """
        if not self._broadcaster.validates:
            return
        shape = SHAPES[entity_type]
        found = self._broadcaster.violations(
            entity_type,
            unflatten(shape, fields),
            None if before is None else unflatten(shape, before),
            _ORIGIN,
        )
        if found:
            refused = [Violation(v.pointer, f"{v.message} (plugin {v.plugin})") for v in found]
            raise SchemaViolation(entity_type, refused)
