"""The entries of a field map: each translates one canonical field in both directions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zenskar.fields.paths import UNSEEN, Path, is_object, look_up, path_of, put

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Target:
    """The body of a push under construction, and the value that empties a field in it.

    The body of a create leaves out empty fields.
    """

    body: dict[str, Any]
    unset: Any
    creates: bool

    def set(self, path: Path, value: Any) -> None:
        """Set the value at a path, or empty it."""
        if value is None or value == "":
            if self.creates:
                return
            value = self.unset
        put(self.body, path, value)


class Entry:
    """An entry of a field map, for the canonical field `name`."""

    __slots__ = ()
    name: str
    paths: tuple[Path, ...]

    def read(self, data: Mapping[str, Any]) -> Any:
        """Return the canonical value, `UNSEEN` when the object does not show the field."""
        raise NotImplementedError

    def write(self, target: Target, value: Any) -> None:
        """Write the canonical value, None to empty the field."""
        raise NotImplementedError


class Field(Entry):
    """A field that is one member there, at a path such as `contact.phone`.

    `read` converts their value into ours, and `write` converts ours into theirs. Neither gets an
    empty value.
    """

    __slots__ = ("_path", "_read", "_write", "name", "paths")

    def __init__(
        self,
        name: str,
        path: str | Path | None = None,
        *,
        read: Convert | None = None,
        write: Convert | None = None,
    ) -> None:
        self.name = name
        self._path = path_of(name if path is None else path)
        self._read, self._write = read, write
        self.paths = (self._path,)

    def read(self, data: Mapping[str, Any]) -> Any:
        """Return the canonical value, `UNSEEN` when the object does not show the field."""
        value = look_up(data, self._path)
        if value is None or value is UNSEEN:
            return value
        if value == "":
            return None
        return value if self._read is None else self._read(value)

    def write(self, target: Target, value: Any) -> None:
        """Write the canonical value, None to empty the field."""
        if self._write is not None and not _is_empty(value):
            value = self._write(value)
        target.set(self._path, value)


class Split(Entry):
    """A text that is several members there, such as a first and a last name.

    `split` returns their texts for ours, and `join` gets their texts and returns ours. Their order
    is the order of the paths; an empty member is an empty text.
    """

    __slots__ = ("_join", "_split", "name", "paths")

    def __init__(
        self,
        name: str,
        paths: Sequence[str | Path],
        *,
        split: Callable[[str], Sequence[str]],
        join: Callable[..., str],
    ) -> None:
        self.name = name
        self.paths = tuple(map(path_of, paths))
        self._split, self._join = split, join

    def read(self, data: Mapping[str, Any]) -> Any:
        """Return the joined text, `UNSEEN` when the object does not show every part."""
        parts = [look_up(data, path) for path in self.paths]
        if any(part is UNSEEN for part in parts):
            return UNSEEN
        return self._join(*(part or "" for part in parts)) or None

    def write(self, target: Target, value: Any) -> None:
        """Write the parts of a text, None to empty them. Raises `ValueError` for other parts."""
        parts = [""] * len(self.paths) if _is_empty(value) else self._split(value)
        for path, part in zip(self.paths, parts, strict=True):
            target.set(path, part)


class Group(Entry):
    """A field with members, such as an address.

    `members` maps our names to their paths. With `at` the members are inside of one object, which
    is seen or written as a whole. Without it they stand among the other fields, and the field was
    seen only if all of them are there.
    """

    __slots__ = ("_at", "_members", "name", "paths")

    def __init__(
        self, name: str, members: Mapping[str, str | Path], *, at: str | Path | None = None
    ) -> None:
        self.name = name
        self._at = path_of(at) if at is not None else None
        self._members = tuple((ours, path_of(theirs)) for ours, theirs in members.items())
        own = tuple(path for _, path in self._members)
        self.paths = own if self._at is None else (self._at,)

    def read(self, data: Mapping[str, Any]) -> Any:
        """Return all members, None without any, `UNSEEN` when the object does not show them."""
        inside = data if self._at is None else look_up(data, self._at)
        if inside is None:
            return None
        if inside.__class__ is not dict and not is_object(inside):
            return UNSEEN
        values: dict[str, Any] = {}
        found = None
        for ours, path in self._members:
            value = look_up(inside, path)
            if value is UNSEEN and self._at is None:
                return UNSEEN
            if value is UNSEEN or value == "":
                value = None
            elif value is not None:
                found = values
            values[ours] = value
        return found

    def write(self, target: Target, value: Any) -> None:
        """Write all members, because the external system may keep members that are left out."""
        given = {ours: member for ours, member in (value or {}).items() if not _is_empty(member)}
        if self._at is None:
            for ours, path in self._members:
                target.set(path, given.get(ours))
        elif not given:
            target.set(self._at, None)
        else:
            inside = Target({}, target.unset, target.creates)
            for ours, path in self._members:
                inside.set(path, given.get(ours))
            put(target.body, self._at, inside.body)


class Keys(Entry):
    """A map of texts, such as metadata. Keys that begin with `hidden` do not travel."""

    __slots__ = ("_hidden", "_path", "name", "paths")

    def __init__(
        self, name: str, path: str | Path | None = None, *, hidden: str | None = None
    ) -> None:
        self.name = name
        self._path = path_of(name if path is None else path)
        self._hidden = hidden
        self.paths = (self._path,)

    def read(self, data: Mapping[str, Any]) -> Any:
        """Return the pairs with a value, `UNSEEN` when the object does not show the map."""
        found = look_up(data, self._path)
        if found is None:
            return {}
        if found.__class__ is not dict and not is_object(found):
            return UNSEEN
        hidden = self._hidden
        return {
            key: value
            for key, value in found.items()
            if value is not None and value != "" and not (hidden and key.startswith(hidden))
        }

    def write(self, target: Target, value: Any) -> None:
        """Write the changed pairs, None to unset a key."""
        for key, item in (value or {}).items():
            if not (self._hidden and key.startswith(self._hidden)):
                target.set((*self._path, key), item)


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that every object gets when it is created, such as its type."""

    path: str | Path
    value: Any


@dataclass(frozen=True, slots=True)
class RecordId:
    """The member that holds the id of our record, from the create of the object on."""

    path: str | Path


def _is_empty(value: Any) -> bool:
    return value is None or value == ""
