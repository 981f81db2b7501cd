"""The parts of a record: the texts that a profile can move, each with its JSON pointer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from zenskar.model.fields import SHAPES, EntityShape, Fields, escape, name_of, unescape
from zenskar.schema_catalog import core_schemas


@dataclass(frozen=True)
class RecordParts:
    """The parts of an entity type: text fields, members of grouped fields, keys of keyed fields.

    `members` are those of each grouped field, such as an address, which is one value for a merge.
    """

    shape: EntityShape
    members: Mapping[str, tuple[str, ...]]

    def has(self, pointer: str) -> bool:
        """Return whether a pointer addresses a part."""
        name, slash, rest = pointer[1:].partition("/")
        if not pointer.startswith("/") or name not in self.shape.names:
            return False
        if name in self.shape.keyed:
            return bool(rest) and "/" not in rest
        if name in self.members:
            return rest in self.members[name]
        return not slash

    def is_whole(self, pointer: str) -> bool:
        """Return whether a pointer addresses a field that consists of parts."""
        name = pointer.removeprefix("/")
        return pointer != name and (name in self.members or name in self.shape.keyed)

    def leaf(self, part: str) -> str:
        """Return the leaf that holds a part."""
        name = name_of(part)
        return f"/{name}" if name in self.members else part

    def of_leaf(self, path: str) -> tuple[str, ...]:
        """Return the parts of a leaf."""
        name = name_of(path)
        if name not in self.members:
            return (path,)
        return tuple(f"/{name}/{member}" for member in self.members[name])

    def split(self, fields: Fields) -> dict[str, Any]:
        """Return the parts of these leaves that have a value."""
        parts: dict[str, Any] = {}
        for path, value in fields.items():
            if isinstance(value, Mapping):
                parts |= {f"{path}/{escape(name)}": member for name, member in value.items()}
            else:
                parts[path] = value
        return parts

    def join(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the leaves of these parts."""
        leaves: dict[str, Any] = {}
        for part, value in parts.items():
            leaf = self.leaf(part)
            if leaf == part:
                leaves[part] = value
            else:
                leaves.setdefault(leaf, {})[unescape(part[len(leaf) + 1 :])] = value
        return leaves

    def described(self, names: Iterable[str]) -> str:
        """Return the pointers of the parts of these fields, for people."""
        known = set(names)
        found = [
            f"/{name}/KEY" if name in self.shape.keyed else ", ".join(self.of_leaf(f"/{name}"))
            for name in (*self.shape.plain, *self.shape.keyed)
            if name in known
        ]
        return ", ".join(found)


@cache
def parts_of(entity_type: str) -> RecordParts:
    """Return the parts of an entity type, as its canonical schema describes them."""
    schema, shape = core_schemas()[entity_type].document, SHAPES[entity_type]
    members = {name: _members(schema, schema["properties"][name]) for name in shape.plain}
    return RecordParts(shape, MappingProxyType({n: each for n, each in members.items() if each}))


def _members(schema: Mapping[str, Any], field: Mapping[str, Any]) -> tuple[str, ...]:
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return tuple(field.get("properties", ()))
