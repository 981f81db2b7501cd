"""Read the TOML file of a profile, and name the line and the column of every mistake."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date, time
from functools import cached_property
from pathlib import Path
from typing import Any

from zenskar.errors import ConfigurationError, SchemaViolation
from zenskar.model.fields import unescape
from zenskar.plugins.profile.toml_places import Keys, Place, TomlPlaces
from zenskar.schema_catalog import Schema

_MOST_BYTES = 262_144
_MOST_PROBLEMS = 5
_MOST_CHARACTERS = 400
_AT = re.compile(r" \(at line (\d+), column (\d+)\)$")


class ProfileError(ConfigurationError):
    """A profile cannot be used; the text names the file, the line and the column."""


class ProfileFile:
    """A profile whose form is valid: `document` is its content."""

    def __init__(self, path: Path, schema: Schema) -> None:
        """Read and check a file. Raises `ProfileError`."""
        self.path = path
        self._text = _read(path)
        try:
            self.document: dict[str, Any] = tomllib.loads(self._text)
            self._refuse_times()
            schema.check(self.document)
        except tomllib.TOMLDecodeError as error:
            raise ProfileError(self._syntax(error)) from None
        except SchemaViolation as error:
            raise self.error([(_keys(v.pointer), v.message) for v in error.violations]) from None
        except RecursionError:
            raise ProfileError(f"{path}: is nested too deeply") from None

    def error(self, problems: Sequence[tuple[Keys, str]]) -> ProfileError:
        """Return the error of these problems, each at its place; the first in the file first."""
        placed = sorted((self._places.of(keys), keys, text) for keys, text in problems)
        lines = [f"{self._at(p)}: {_one_line(f'{_name(keys)} {text}')}" for p, keys, text in placed]
        return ProfileError("; ".join(lines[:_MOST_PROBLEMS]))

    def _refuse_times(self) -> None:
        """Raise `ProfileError` for the values of TOML that JSON does not have."""
        if times := list(_times(self.document, ())):
            raise self.error([(keys, "must not be a date or a time") for keys in times])

    @cached_property
    def _places(self) -> TomlPlaces:
        return TomlPlaces(self._text)

    def _at(self, place: Place) -> str:
        return f"{self.path}:{place.line}:{place.column}"

    def _syntax(self, error: tomllib.TOMLDecodeError) -> str:
        text = str(error)
        found = _AT.search(text)
        if found is None:
            lines = self._text.count("\n") + 1
            return f"{self._at(Place(lines, 1))}: is not TOML: {text}"
        place = Place(int(found[1]), int(found[2]))
        return f"{self._at(place)}: is not TOML: {_AT.sub('', text)}"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ProfileError(f"{path}: has more than {_MOST_BYTES} bytes")
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except (UnicodeDecodeError, ValueError):
        raise ProfileError(f"{path}: is not UTF-8") from None


def _times(value: Any, keys: Keys) -> Iterator[Keys]:
    """Yield the keys of each date and time in a value."""
    if isinstance(value, date | time):
        yield keys
    named = value.items() if isinstance(value, dict) else ()
    listed = enumerate(value) if isinstance(value, list) else ()
    for key, member in (*named, *listed):
        yield from _times(member, (*keys, str(key)))


def _keys(pointer: str) -> Keys:
    """Return the keys of a JSON pointer."""
    return tuple(unescape(part) for part in pointer.split("/")[1:])


def _one_line(text: str) -> str:
    """Return a text for a log line; keys of the file may have any characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:_MOST_CHARACTERS])


def _name(keys: Keys) -> str:
    return ".".join(f'"{key}"' if "/" in key else key for key in keys) or "the profile"
