"""The validation rules of a profile: JSON Schemas of a whole record and of its parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zenskar.errors import ConfigurationError, SchemaViolation, Violation
from zenskar.model.fields import EntityShape, Fields, unescape, unflatten
from zenskar.plugins.profile.toml_places import Keys
from zenskar.schema_catalog import Schema

Problem = tuple[Keys, str]


@dataclass(frozen=True)
class RecordRules:
    """The rules of one entity type; `refuse`: an object that breaks one becomes a dead letter."""

    shape: EntityShape
    schemas: tuple[Schema, ...]
    refuse: bool = False

    def violations(self, fields: Fields) -> list[Violation]:
        """Return the violations of a record. A field without a value is absent for a rule."""
        document = compact(self.shape, fields)
        return [each for schema in self.schemas for each in _violations(schema, document)]

    def new_violations(self, fields: Fields, before: Fields | None) -> list[Violation]:
        """Return the violations that a change makes; the record may have had others before it."""
        found = self.violations(fields)
        if not found or before is None:
            return found
        known = set(self.violations(before))
        return [each for each in found if each not in known]


def compact(shape: EntityShape, fields: Fields) -> dict[str, Any]:
    """Return the canonical document of these leaves, without fields that have no value."""
    return {name: value for name, value in unflatten(shape, fields).items() if value}


def compile_rules(
    section: Mapping[str, Any], shape: EntityShape, problems: list[Problem]
) -> RecordRules | None:
    """Return the rules of a section, None without any; add its mistakes to `problems`."""
    rules = section.get("rules", {})
    found = list(_schemas(section, shape.entity_type))
    schemas = [made for one in found if (made := compile_schema(*one, problems=problems))]
    return RecordRules(shape, tuple(schemas), rules.get("refuse", False)) if found else None


def compile_schema(
    keys: Keys, pointer: str, document: Mapping[str, Any], *, problems: list[Problem]
) -> Schema | None:
    """Compile a JSON Schema of the part of a record at a pointer, "" for the whole record.

    Adds a problem, and returns None, unless the document is a schema that needs no other.
    """
    foreign = next(_foreign(document, keys), None)
    if foreign is not None:
        problems.append((foreign, "must begin with #: no other schema is loaded"))
        return None
    try:
        Schema(keys[0], dict(document))
        return Schema(keys[0], _at(pointer, document))
    except ConfigurationError as error:
        path = getattr(error.__cause__, "instance_path", ())
        problems.append(((*keys, *map(str, path)), "is not valid in JSON Schema 2020-12"))
        return None


def _schemas(
    section: Mapping[str, Any], entity_type: str
) -> Iterator[tuple[Keys, str, Mapping[str, Any]]]:
    """Yield the keys, the pointer and the document of each schema."""
    if "schema" in section.get("rules", {}):
        yield (entity_type, "rules", "schema"), "", section["rules"]["schema"]
    for pointer, entry in section.get("fields", {}).items():
        if "schema" in entry:
            yield (entity_type, "fields", pointer, "schema"), pointer, entry["schema"]


def _at(pointer: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a record whose part at a pointer has this schema."""
    schema = dict(document)
    for name in reversed(pointer.split("/")[1:]):
        schema = {"properties": {unescape(name): schema}}
    return schema


def _foreign(part: Any, keys: Keys) -> Iterator[Keys]:
    """Yield the keys of references to other documents, which would be loaded over the network."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key in {"$ref", "$dynamicRef"} and not str(value).startswith("#"):
                yield (*keys, key)
            yield from _foreign(value, (*keys, key))
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from _foreign(value, (*keys, str(index)))


def _violations(schema: Schema, document: Mapping[str, Any]) -> tuple[Violation, ...]:
    if schema.accepts(document):
        return ()
    try:
        schema.check(document)
    except SchemaViolation as error:
        return error.violations
    return ()
