"""Translate between the canonical documents of a connection and the fields of our records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zenskar.model.coverage import Coverage, holds
from zenskar.model.fields import (
    Document,
    EntityShape,
    FieldChanges,
    Fields,
    Shown,
    flatten,
    merge_patch,
    name_of,
    unflatten,
)
from zenskar.plugins.profile.record_parts import RecordParts

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FieldRoutes:
    """The compiled rules of a profile for the fields of one entity type.

    `shape` has the fields that the integration carries. `coverage` gives the place there of each
    part here, and `back` the part here of places whose part has another pointer, None for none.
    `outward` holds, by field or leaf, whether it is never taken over. Defaults are by part here.
    """

    parts: RecordParts
    shape: EntityShape
    coverage: Coverage
    back: Mapping[str, str | None] = field(default_factory=dict)
    outward: Mapping[str, bool] = field(default_factory=dict)
    defaults_here: Mapping[str, str] = field(default_factory=dict)
    defaults_there: Mapping[str, str] = field(default_factory=dict)
    constants_here: Mapping[str, str] = field(default_factory=dict)
    constants_there: Mapping[str, str] = field(default_factory=dict)

    def show(self, document: Document | None) -> Shown:
        """Return the visible part of an object with this document, as fields of a record."""
        if document is None:
            return Shown(None)
        there = self.parts.split(flatten(self.shape, document))
        here = {
            part: value
            for place, value in there.items()
            if (part := self.part_at(place)) is not None and value != self.defaults_there.get(part)
        }
        here |= {
            part: default
            for part, default in self.defaults_here.items()
            if self.coverage.place(part) not in there
        }
        unseen, apart = self._unseen(self.shape.names.difference(document))
        shown = Shown(self.parts.join(here), unseen, apart)
        if not unseen:
            return shown
        fields = {p: v for p, v in self.parts.join(here).items() if not shown.hides(p)}
        return shown._replace(fields=fields)

    def origins(self, changed: Iterable[str]) -> tuple[str, ...]:
        """Return the pointers here of fields there that a call changed."""
        pointers = []
        for pointer in changed:
            if not pointer or self.parts.is_whole(pointer) or self.part_at(pointer) == pointer:
                pointers.append(pointer)
            pointers += [
                self.parts.leaf(part)
                for part, place in self.coverage.routes.items()
                if place is not None and f"{place}/".startswith(f"{pointer}/")
            ]
        return tuple(pointers)

    def with_constants(self, fields: Fields) -> Fields:
        """Return the fields of a new record, which an object has caused."""
        if not self.constants_here:
            return fields
        return self.parts.join({**self.parts.split(fields), **self.constants_here})

    def document(self, fields: Fields, *, creates: bool) -> dict[str, Any]:
        """Return the canonical document there of a record whose fields are to be there."""
        return unflatten(self.shape, self._there(fields, creates=creates))

    def patch(self, fields: Fields, changes: FieldChanges, *, creates: bool) -> dict[str, Any]:
        """Return the merge patch of the document there; a create sets every field."""
        there = self._there(fields, creates=creates)
        if creates:
            return merge_patch(self.shape, there)
        leaves = {self.parts.leaf(place) for place in self.places(changes)}
        return merge_patch(self.shape, {leaf: there.get(leaf) for leaf in sorted(leaves)})

    def written(self, fields: Fields) -> dict[str, Any]:
        """Return the part of a document there that pushes of these leaves write."""
        inward = self.coverage.inward
        pushed = {path: value for path, value in fields.items() if not holds(inward, path)}
        return merge_patch(self.shape, self.parts.join(self._moved(self.parts.split(pushed))))

    def places(self, paths: Iterable[str]) -> list[str]:
        """Return the places there of the parts of these leaves."""
        parts = (part for path in paths for part in self.parts.of_leaf(path))
        return [place for part in parts if (place := self.coverage.place(part)) is not None]

    def part_at(self, place: str) -> str | None:
        """Return the part here of a place there, None for a place without one."""
        if place in self.back:
            return self.back[place]
        return place if self.coverage.place(place) == place else None

    def _there(self, fields: Fields, *, creates: bool) -> dict[str, Any]:
        here = self.parts.split(fields)
        there = self._moved(here)
        for part, default in self.defaults_there.items():
            place = self.coverage.place(part)
            pushed = not (creates and holds(self.coverage.inward, self.parts.leaf(part)))
            if part not in here and place is not None and pushed:
                there[place] = default
        return self.parts.join({**there, **self.constants_there})

    def _moved(self, here: Mapping[str, Any]) -> dict[str, Any]:
        return {
            place: value
            for part, value in here.items()
            if (place := self.coverage.place(part)) is not None
            and value != self.defaults_here.get(part)
        }

    def _unseen(self, missing: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Return the fields and leaves that are not seen, and leaves apart that are seen."""
        if not missing and not self.outward:
            return _NOTHING, _NOTHING
        unseen = {name for name in missing if name in self.coverage.names}
        unseen |= {each for each, flag in self.outward.items() if flag and each[0] != "/"}
        apart = set()
        for leaf in self._own_leaves:
            places = self.places([leaf])
            hidden = holds(self.outward, leaf) or any(name_of(p) in missing for p in places)
            if hidden and name_of(leaf) not in unseen:
                unseen.add(leaf)
            elif not hidden and places and name_of(leaf) in unseen:
                apart.add(leaf)
        return frozenset(unseen), frozenset(apart)

    @property
    def _own_leaves(self) -> set[str]:
        """The leaves that the profile names, apart from the rest of their field."""
        named = {self.parts.leaf(part) for part in self.coverage.routes}
        return named | {each for each in self.outward if each[0] == "/"}
