"""The filter of a profile: the records that travel to and from a connection."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zenskar.model.fields import EntityShape, Fields
from zenskar.plugins.profile.record_rules import Problem, compact, compile_schema
from zenskar.plugins.profile.toml_places import Keys
from zenskar.schema_catalog import Schema


@dataclass(frozen=True)
class RecordFilter:
    """The condition that a record of one entity type meets to travel."""

    shape: EntityShape
    schema: Schema

    def passes(self, fields: Fields) -> bool:
        """Return whether a record meets the condition. A field without a value is absent."""
        return self.schema.accepts(compact(self.shape, fields))


def compile_filter(
    section: Mapping[str, Any], shape: EntityShape, problems: list[Problem]
) -> RecordFilter | None:
    """Return the filter of a section, None without one; add its mistakes to `problems`."""
    if "filter" not in section:
        return None
    keys, document = (shape.entity_type, "filter", "schema"), section["filter"]["schema"]
    problems += _unknown_fields(keys, document, shape)
    schema = compile_schema(keys, "", document, problems=problems)
    return RecordFilter(shape, schema) if schema is not None else None


def _unknown_fields(
    keys: Keys, document: Mapping[str, Any], shape: EntityShape
) -> Iterator[Problem]:
    """Yield a problem for each name that no record has: a misspelled filter may exclude all."""
    text = f"is no field of a {shape.entity_type}"
    properties, required = document.get("properties"), document.get("required")
    if isinstance(properties, Mapping):
        for name in properties.keys() - shape.names:
            yield (*keys, "properties", name), text
    if isinstance(required, list):
        for index, name in enumerate(required):
            if name not in shape.names:
                yield (*keys, "required", str(index)), text
