"""The fields of an entity that an integration carries, and the name of their limits."""

from functools import cache

from zenskar.model.coverage import Coverage
from zenskar.model.fields import SHAPES, EntityShape
from zenskar.plugins.base import BaseIntegration


def carried(integration: BaseIntegration, entity_type: str) -> EntityShape:
    """Return the shape of an entity with the fields that the integration carries."""
    declared = integration.carries.get(entity_type)
    return SHAPES[entity_type] if declared is None else _only(entity_type, tuple(declared))


def limits_name(integration: BaseIntegration, entity_type: str) -> str:
    """Return the name of the schema with the limits of an entity's fields."""
    return integration.limits.get(entity_type, f"{entity_type}.limits")


@cache
def whole(entity_type: str) -> Coverage:
    """Return the coverage of every field of an entity."""
    return Coverage(SHAPES[entity_type].names)


@cache
def covered(shape: EntityShape) -> Coverage | None:
    """Return the coverage of the fields of a shape, None if it has every field of the entity."""
    coverage = Coverage(shape.names)
    return None if coverage == whole(shape.entity_type) else coverage


@cache
def _only(entity_type: str, names: tuple[str, ...]) -> EntityShape:
    return SHAPES[entity_type].only(names)
