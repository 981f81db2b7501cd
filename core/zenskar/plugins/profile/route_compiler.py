"""Compile the fields of a profile into routes, and refuse a profile that has no inverse."""

from collections.abc import Iterator, Mapping
from typing import Any

from zenskar.kernel import ConflictPolicy
from zenskar.model.coverage import Coverage
from zenskar.model.fields import EntityShape, name_of
from zenskar.plugins.profile.field_routes import FieldRoutes
from zenskar.plugins.profile.record_parts import parts_of
from zenskar.plugins.profile.toml_places import Keys

_OWN_KEYS = "zenskar_"
_OF_PARTS = ("there", "default_here", "default_there")
_OF_LEAVES = ("direction", "conflict_policy")
Problem = tuple[Keys, str]


class RouteCompiler:
    """Compiles the section of one entity type; `problems` holds the mistakes with their keys."""

    def __init__(self, section: Mapping[str, Any], shape: EntityShape) -> None:
        self.problems: list[Problem] = []
        self._shape = shape
        self._parts = parts_of(shape.entity_type)
        self._fields: Mapping[str, Mapping[str, Any]] = section.get("fields", {})
        constants = section.get("constants", {})
        self._here: Mapping[str, str] = constants.get("here", {})
        self._there: Mapping[str, str] = constants.get("there", {})
        self._taken: dict[str, str] = {}
        self._places: dict[str, str] = {}

    def compile(self) -> FieldRoutes:
        """Return the routes; they are valid if no problem was found."""
        for pointer, entry in self._fields.items():
            self._add(pointer, entry)
        for place in self._there:
            self._claim(place, "a constant", ("constants", "there", place))
        for part in self._here:
            self._check_constant(part)
        routes = FieldRoutes(
            parts=self._parts,
            shape=self._shape,
            coverage=Coverage(self._shape.names, self._routes(), self._flags("in")),
            back=self._back(),
            outward=self._flags("out"),
            defaults_here=dict(self._values("default_here")),
            defaults_there=dict(self._values("default_there")),
            constants_here=dict(self._here),
            constants_there=dict(self._there),
        )
        if not self.problems:
            self._check_groups(routes)
        return routes

    def policies(self) -> dict[str, ConflictPolicy]:
        """Return the conflict policies by the name of a field, or by the pointer of a leaf."""
        return {
            self._key(pointer): ConflictPolicy(entry["conflict_policy"])
            for pointer, entry in self._fields.items()
            if "conflict_policy" in entry
        }

    def _add(self, pointer: str, entry: Mapping[str, Any]) -> None:
        keys = ("fields", pointer)
        if self._parts.is_whole(pointer):
            for name in _OF_PARTS:
                if name in entry:
                    self._report((*keys, name), f"is of a single part: {self._example(pointer)}")
            return
        if not self._is_part(pointer, keys):
            return
        leaf = self._parts.leaf(pointer)
        for name in _OF_LEAVES:
            if name in entry and leaf != pointer:
                self._report((*keys, name), f"is of the whole address: set it for {leaf}")
        where = (*keys, "there") if "there" in entry else keys
        if self._claim(entry.get("there", pointer), pointer, where):
            self._places[pointer] = entry.get("there", pointer)

    def _check_constant(self, part: str) -> None:
        keys = ("constants", "here", part)
        if self._is_part(part, keys) and part in self._places:
            self._report(keys, "is a constant, and a field that travels: remove one of them")

    def _claim(self, place: str, owner: str, keys: Keys) -> bool:
        """Take a place there for a part or a constant; return whether it is valid and was free."""
        if not self._is_part(place, keys):
            return False
        if name_of(place) not in self._shape.names:
            carried = self._parts.described(self._shape.names)
            self._report(
                keys, f"needs {place} there, which the integration does not carry: use {carried}"
            )
            return False
        if place in self._taken:
            self._report(keys, f"needs {place} there, which {self._taken[place]} uses already")
            return False
        self._taken[place] = owner
        return True

    def _is_part(self, pointer: str, keys: Keys) -> bool:
        if not self._parts.has(pointer):
            known = self._parts.described(self._parts.shape.names)
            self._report(keys, f"must be the pointer of a part, not {pointer!r}: use {known}")
            return False
        if pointer.rpartition("/")[2].startswith(_OWN_KEYS):
            self._report(keys, f"must not begin with {_OWN_KEYS}: such keys are zenskar's own")
            return False
        return True

    def _routes(self) -> dict[str, str | None]:
        """Return the parts whose place has another pointer, and those that lost their place."""
        moved = {part: place for part, place in self._places.items() if part != place}
        lost = (*moved.values(), *self._there, *self._here)
        return {part: None for part in lost if part not in self._places} | moved

    def _back(self) -> dict[str, str | None]:
        """Return the places whose part has another pointer, and those that lost their part."""
        moved = {place: part for part, place in self._places.items() if part != place}
        lost = (*moved.values(), *self._here, *self._there)
        return (
            {place: None for place in lost if place not in self._taken}
            | moved
            | dict.fromkeys(self._there)
        )

    def _check_groups(self, routes: FieldRoutes) -> None:
        """Refuse a group there that a push would empty in part, since it is one value."""
        for name in self._parts.members.keys() & self._shape.names:
            members = self._parts.of_leaf(f"/{name}")
            if not any(routes.part_at(each) is not None for each in members):
                continue
            for each in members:
                if routes.part_at(each) is None and each not in self._there:
                    self._report(
                        ("fields", each) if each in self._fields else ("constants", "here", each),
                        f"leaves nothing for {each} there, and a push of /{name} would empty it: "
                        "give it another part or a constant",
                    )

    def _flags(self, direction: str) -> dict[str, bool]:
        """Return, by field or leaf, whether it has this direction; empty if none has it."""
        flags = {
            self._key(pointer): entry["direction"] == direction
            for pointer, entry in self._fields.items()
            if "direction" in entry
        }
        return flags if any(flags.values()) else {}

    def _values(self, name: str) -> Iterator[tuple[str, str]]:
        return ((pointer, e[name]) for pointer, e in self._fields.items() if name in e)

    def _key(self, pointer: str) -> str:
        return pointer[1:] if self._parts.is_whole(pointer) else pointer

    def _example(self, pointer: str) -> str:
        return f"name it, such as {self._parts.described([pointer[1:]])}"

    def _report(self, keys: Keys, text: str) -> None:
        self.problems.append(((self._shape.entity_type, *keys), text))
