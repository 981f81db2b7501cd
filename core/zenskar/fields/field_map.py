"""Translate external objects by a declaration, in both directions."""

from collections.abc import Iterable, Mapping
from typing import Any

from zenskar.fields.entries import Constant, Entry, Keys, RecordId, Target
from zenskar.fields.paths import UNSEEN, Path, look_up, overlay, path_of, put
from zenskar.fields.round_trip import RoundTrip
from zenskar.fields.samples import SAMPLES
from zenskar.model.fields import SHAPES
from zenskar.model.integration import Change
from zenskar.model.record import IntentKind


class FieldMap:
    """The fields of one entity type at an external system.

    `unset` is the value that empties a field there: null or an empty text. With `omits_empty` the
    system leaves out empty members, so a missing member is empty. Each object must then be whole.
    Raises `ValueError` for an unknown canonical field, and for entries that write the same place.

    >>> from zenskar.fields import Field, FieldMap, Keys
    >>> fields = FieldMap(Field("name", "full_name"), Field("phone", "contact.phone"))
    >>> fields.to_canonical({"full_name": "Ada", "contact": {"phone": None}})
    {'name': 'Ada', 'phone': None}
    >>> fields.to_canonical({"full_name": "Ada"})
    {'name': 'Ada'}
    """

    def __init__(
        self,
        *entries: Entry | Constant | RecordId,
        unset: str | None = None,
        omits_empty: bool = False,
        entity_type: str = "customer",
    ) -> None:
        self._shape = SHAPES[entity_type]
        self._unset = unset
        self.omits_empty = omits_empty
        self._entries = {entry.name: entry for entry in entries if isinstance(entry, Entry)}
        self._constants = [
            (path_of(entry.path), entry.value) for entry in entries if isinstance(entry, Constant)
        ]
        self._record_ids = [path_of(entry.path) for entry in entries if isinstance(entry, RecordId)]
        self._readers = [(name, entry.read) for name, entry in self._entries.items()]
        self._check(entries)
        self._blank = self.blank()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the canonical fields of the map, for `carries`."""
        return tuple(self._entries)

    def to_canonical(self, data: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the canonical document of an external object, without what it does not show."""
        data, document = data or {}, {}
        if self.omits_empty:
            data = overlay(self._blank, data)
        for name, read in self._readers:
            value = read(data)
            if value is not UNSEEN:
                document[name] = value
        return document

    def from_canonical(self, change: Change) -> dict[str, Any]:
        """Return the body of the push for a change: the changed fields only, empty on a delete."""
        body: dict[str, Any] = {}
        if change.kind is IntentKind.DELETE:
            return body
        creates = change.kind is IntentKind.CREATE
        if creates:
            for path, value in self._constants:
                put(body, path, value)
            for path in self._record_ids:
                put(body, path, change.record_id)
        target = Target(body, self._unset, creates)
        for name, value in change.patch.items():
            if name in self._entries:
                self._entries[name].write(target, value)
        return body

    def blank(self) -> dict[str, Any]:
        """Return an external object that shows every member of this map, without a value."""
        data: dict[str, Any] = {}
        for entry in self._entries.values():
            for path in entry.paths:
                put(data, path, None)
        return data

    def record_id(self, data: Mapping[str, Any] | None) -> str | None:
        """Return the id of our record that an external object carries, None without one."""
        found = [look_up(data, path) for path in self._record_ids]
        return next((value for value in found if isinstance(value, str) and value), None)

    def check_round_trip(self, documents: Iterable[Mapping[str, Any]] = SAMPLES) -> None:
        """Check that both directions undo each other for every pair of these documents.

        Call this in a test. Raises `AssertionError`, which names the field.
        """
        RoundTrip(self, self._shape.only(self.names)).check(list(documents))

    def _check(self, entries: Iterable[Entry | Constant | RecordId]) -> None:
        named = [entry.name for entry in entries if isinstance(entry, Entry)]
        unknown = sorted(set(named) - self._shape.names)
        if unknown:
            raise ValueError(f"{self._shape.entity_type} has no field {', '.join(unknown)}")
        if len(set(named)) != len(named):
            raise ValueError("two entries have the same canonical field")
        own = [path for path, _ in self._constants] + self._record_ids
        _refuse_overlaps(self._entries.values(), own)


def _refuse_overlaps(entries: Iterable[Entry], own: list[Path]) -> None:
    """Raise `ValueError` when a path is, or leads through, the path of another entry."""
    shared = {path for entry in entries if isinstance(entry, Keys) for path in entry.paths}
    paths = [path for entry in entries for path in entry.paths] + own
    for number, path in enumerate(paths):
        for other in paths[:number] + paths[number + 1 :]:
            # A map may hold the id of our record among its keys.
            inside = other[: len(path)] == path and (other == path or path not in shared)
            if inside:
                raise ValueError(f"two entries write {'.'.join(other)}")
