"""The flat form of a canonical document, in which fields are compared and merged.

A leaf is addressed by a JSON pointer (RFC 6901). Every top-level field is one leaf, also an
object such as an address: a merge of two halves would be no address. Only the fields named in
`EntityShape.keyed` (metadata) are split, one leaf for each key.

Null, an empty string and an empty object all mean "no value", so none of them appears in the flat
form, and none of them can make a difference. A top-level field that the document of an external
object leaves out was not seen, so its value is unknown: see `Shown`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

Document = Mapping[str, Any]
Fields = Mapping[str, Any]
"""Leaf pointer to value, never None."""
FieldChanges = Mapping[str, Any]
"""Leaf pointer to new value; None unsets."""


@dataclass(frozen=True)
class EntityShape:
    """The top-level fields of an entity that are synced; `keyed` ones are split by key.

    Records can be found by the values of the `searchable` fields, which have an index.

    >>> shape = EntityShape("customer", plain=("name", "phone"), keyed=("metadata",))
    >>> document = {"name": "Ada", "phone": None, "metadata": {"plan": "pro"}}
    >>> flatten(shape, document)
    {'/name': 'Ada', '/metadata/plan': 'pro'}
    >>> merge_patch(shape, difference({"/name": "Ada"}, flatten(shape, document)))
    {'metadata': {'plan': 'pro'}}
    """

    entity_type: str
    plain: tuple[str, ...]
    keyed: tuple[str, ...] = ()
    searchable: tuple[str, ...] = ()

    @cached_property
    def leaves(self) -> tuple[tuple[str, str], ...]:
        """The plain fields with their pointers."""
        return tuple((name, "/" + name) for name in self.plain)

    @cached_property
    def prefixes(self) -> tuple[tuple[str, str], ...]:
        """The keyed fields with the prefix of their pointers."""
        return tuple((name, f"/{name}/") for name in self.keyed)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all top-level fields."""
        return frozenset((*self.plain, *self.keyed))

    def show(self, document: Document | None) -> "Shown":
        """Return the visible part of an external object with this canonical document."""
        if document is None:
            return Shown(None)
        return Shown(flatten(self, document), self.names.difference(document))

    def origins(self, changed: Iterable[str]) -> tuple[str, ...]:
        """Return the pointers of fields that a call changed."""
        return tuple(changed)

    def only(self, names: Collection[str]) -> "EntityShape":
        """Return this shape with the named fields only."""
        return replace(
            self,
            plain=tuple(name for name in self.plain if name in names),
            keyed=tuple(name for name in self.keyed if name in names),
        )


CUSTOMER = EntityShape(
    "customer",
    plain=("name", "email", "phone", "address"),
    keyed=("metadata",),
    searchable=("email",),
)
SHAPES: Mapping[str, EntityShape] = MappingProxyType({CUSTOMER.entity_type: CUSTOMER})


class Shown(NamedTuple):
    """The visible part of an external object: its leaves, and the fields not seen.

    `fields` is None when the object was seen deleted. `unseen` names top-level fields, and points
    to leaves. `apart` points to leaves that are seen although their field is not.
    """

    fields: Fields | None
    unseen: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()

    def hides(self, path: str) -> bool:
        """Return whether a leaf was not seen."""
        return is_unseen(path, self.unseen, self.apart)


class DocumentView(Protocol):
    """A reading of the canonical documents of a connection as fields of our records."""

    def show(self, document: Document | None) -> Shown:
        """Return the visible part of an external object with this canonical document."""

    def origins(self, changed: Iterable[str]) -> tuple[str, ...]:
        """Return the pointers here of fields that a call changed there."""


def flatten(shape: EntityShape, document: Document) -> dict[str, Any]:
    """Return the leaves of a canonical document that have a value."""
    leaves: dict[str, Any] = {}
    for name, pointer in shape.leaves:
        value = document.get(name)
        if value.__class__ is not str:
            value = _present(value)
        if value is not None and value != "":
            leaves[pointer] = value
    for name, prefix in shape.prefixes:
        for key, item in (document.get(name) or {}).items():
            value = item if item.__class__ is str else _present(item)
            if value is not None and value != "":
                leaves[prefix + (escape(key) if "~" in key or "/" in key else key)] = value
    return leaves


def unflatten(shape: EntityShape, fields: Fields) -> dict[str, Any]:
    """Return the canonical document of these leaves, every field of the entity present."""
    document: dict[str, Any] = {name: fields.get(pointer) for name, pointer in shape.leaves}
    for name, prefix in shape.prefixes:
        start = len(prefix)
        document[name] = {
            unescape(path[start:]) if "~" in path else path[start:]: value
            for path, value in fields.items()
            if path.startswith(prefix)
        }
    return document


def merge_patch(shape: EntityShape, changes: FieldChanges) -> dict[str, Any]:
    """Return the changes as a JSON merge patch (RFC 7396) of the canonical document."""
    patch: dict[str, Any] = {}
    for path, value in changes.items():
        name, _, key = path[1:].partition("/")
        if name in shape.keyed:
            patch.setdefault(name, {})[unescape(key)] = value
        else:
            patch[name] = value
    return patch


def name_of(path: str) -> str:
    """Return the name of the top-level field that a leaf belongs to."""
    return path[1:].partition("/")[0]


def is_unseen(path: str, unseen: Collection[str], apart: Collection[str]) -> bool:
    """Return whether a leaf is among unseen fields and leaves, and not among leaves apart."""
    return (name_of(path) in unseen or path in unseen) and path not in apart


def keep(names: Collection[str], fields: Fields) -> Fields:
    """Return the leaves of the named top-level fields."""
    return {path: value for path, value in fields.items() if name_of(path) in names}


def difference(old: Fields, new: Fields) -> dict[str, Any]:
    """Return the leaves to set or unset (None) to turn `old` into `new`."""
    if old == new:
        return {}
    changes = {path: value for path, value in new.items() if old.get(path) != value}
    if not old.keys() <= new.keys():
        changes.update({path: None for path in old if path not in new})
    return changes


def apply(fields: Fields, changes: FieldChanges) -> dict[str, Any]:
    """Return the fields after the changes."""
    merged = {**fields, **changes}
    if None not in changes.values():
        return merged
    return {path: value for path, value in merged.items() if value is not None}


def escape(key: str) -> str:
    """Escape one reference token of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """Undo `escape`."""
    return token.replace("~1", "/").replace("~0", "~")


def _present(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, (dict, Mapping)):
        return {k: v for k, v in value.items() if v is not None and v != ""} or None
    return value
