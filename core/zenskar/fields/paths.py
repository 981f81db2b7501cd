"""Paths into an external object: the names of its members, from the outside in."""

from collections.abc import Mapping
from typing import Any, Final

Path = tuple[str, ...]


class Unseen:
    """The type of `UNSEEN`, the value of a member that an external object does not show."""


UNSEEN: Final = Unseen()


def path_of(text: str | Path) -> Path:
    """Return a path: a dotted text, or a tuple for names with dots. Raises `ValueError`."""
    path = tuple(text.split(".")) if isinstance(text, str) else text
    if not path or not all(path):
        raise ValueError(f"{text!r} is no path")
    return path


def look_up(data: Any, path: Path) -> Any:
    """Return the value at a path, `UNSEEN` without one. A null on the way is an empty value."""
    for name in path:
        if data is None:
            return None
        if data.__class__ is not dict and not is_object(data):
            return UNSEEN
        # Faster than a call of `get`, and every field of every object passes here.
        data = data[name] if name in data else UNSEEN  # noqa: SIM401
    return data


def is_object(data: Any) -> bool:
    """Return whether a value has members."""
    return data.__class__ is dict or isinstance(data, Mapping)


def put(body: dict[str, Any], path: Path, value: Any) -> None:
    """Set the value at a path, with the objects on the way."""
    for name in path[:-1]:
        body = body.setdefault(name, {})
    body[path[-1]] = value


def overlay(blank: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with the members of a blank object that it leaves out."""
    filled = {**blank, **data}
    for name, empty in blank.items():
        given = data.get(name)
        if isinstance(empty, Mapping) and isinstance(given, Mapping):
            filled[name] = overlay(empty, given)
    return filled
