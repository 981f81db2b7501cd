"""The fields of a record that a connection holds: the part that its base can be compared with."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from zenskar.model.fields import FieldChanges, Fields, escape, keep, name_of

_IN = "in"


@dataclass(frozen=True)
class Coverage:
    """The parts of a record that travel between the catalog and a connection.

    A part is a field, a key of metadata or a member of an address; a JSON pointer addresses it.
    `names` are the top-level fields whose parts travel under their own names. `routes` are the
    exceptions: the place of a part there, None for a part that does not travel. `inward` holds, by
    the name of a field or the pointer of a leaf, whether it is never pushed; the leaf goes first.

    >>> coverage = Coverage(frozenset({"name", "address"}), {"/address/city": None})
    >>> coverage.of({"/name": "Ada", "/phone": "1", "/address": {"city": "Bonn", "line1": "A 1"}})
    {'/name': 'Ada', '/address': {'line1': 'A 1'}}
    """

    names: frozenset[str]
    routes: Mapping[str, str | None] = field(default_factory=dict)
    inward: Mapping[str, bool] = field(default_factory=dict)

    @cached_property
    def terms(self) -> frozenset[str]:
        """The coverage as texts, for storage."""
        routes = (json.dumps([part, there]) for part, there in self.routes.items())
        inward = (json.dumps([_IN, *each]) for each in self.inward.items())
        return frozenset((*self.names, *routes, *inward))

    @classmethod
    def of_terms(cls, terms: Iterable[str]) -> "Coverage":
        """Return the coverage that these stored texts describe."""
        known = list(terms)
        lists = [json.loads(each) for each in known if each.startswith("[")]
        return cls(
            frozenset(each for each in known if not each.startswith("[")),
            {each[0]: each[1] for each in lists if each[0] != _IN},
            {each[1]: each[2] for each in lists if each[0] == _IN},
        )

    def place(self, part: str) -> str | None:
        """Return the place there of a part of a record, None if the part does not travel."""
        if part in self.routes:
            return self.routes[part]
        return part if name_of(part) in self.names else None

    def of(self, fields: Fields) -> Fields:
        """Return the covered leaves, each with its covered members."""
        if not self.routes:
            return keep(self.names, fields)
        covered = {}
        for path, value in fields.items():
            if isinstance(value, Mapping):
                members = self._members(path, value, covered=True)
                if members:
                    covered[path] = members
            elif self.place(path) is not None:
                covered[path] = value
        return covered

    def pushed(self, fields: Fields, base: Fields) -> Fields:
        """Return the covered leaves as they are to be there, whose present state is `base`."""
        covered = self.of(fields)
        if not self.inward:
            return covered
        own = {path: value for path, value in covered.items() if not holds(self.inward, path)}
        return own | {path: value for path, value in base.items() if holds(self.inward, path)}

    def shows(self, fields: Fields, base: Fields) -> bool:
        """Return whether a base equals a record, apart from leaves that are never pushed."""
        return dict(base) == self.pushed(fields, base)

    def lift(self, before: Fields, changes: FieldChanges) -> FieldChanges:
        """Return changes of covered leaves as changes of a record: other members stay."""
        if not self.routes:
            return changes
        return {path: self._lifted(path, before.get(path), new) for path, new in changes.items()}

    def still_about(self, earlier: "Coverage", base: Fields) -> Fields:
        """Return the leaves of a base of an earlier coverage whose place there is the same."""
        same = {p: v for p, v in base.items() if self._about(p) == earlier._about(p)}  # noqa: SLF001
        return self.of(same)

    def within(self, earlier: "Coverage") -> bool:
        """Whether every covered part was covered earlier, at the same place there."""
        return self.routes == earlier.routes and self.names <= earlier.names

    def _lifted(self, path: str, before: Any, new: Any) -> Any:
        if not isinstance(before, Mapping):
            return new
        return {**self._members(path, before, covered=False), **(new or {})} or None

    def _members(self, path: str, value: Mapping[str, Any], *, covered: bool) -> dict[str, Any]:
        return {
            name: member
            for name, member in value.items()
            if (self.place(f"{path}/{escape(name)}") is not None) is covered
        }

    def _about(self, path: str) -> tuple[bool, list[tuple[str, str | None]]]:
        inner = f"{path}/"
        routes = [(p, t) for p, t in self.routes.items() if p == path or p.startswith(inner)]
        return name_of(path) in self.names, sorted(routes)


def holds(flags: Mapping[str, bool], path: str) -> bool:
    """Return the flag of a leaf, else that of its field, else False."""
    flag = flags.get(path)
    return flags.get(name_of(path), False) if flag is None else flag
