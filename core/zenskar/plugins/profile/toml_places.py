"""The line and the column of every key in a valid TOML document (https://toml.io/en/v1.0.0).

`tomllib` keeps no places, so this module scans the text again. The scan relies on a text that
`tomllib` accepts, and reads keys and brackets only.
"""

import re
import tomllib
from typing import NamedTuple

Keys = tuple[str, ...]
"""The keys that lead to a value; the index of an item of an array is a key too."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_PLAIN = re.compile(r"[^,\]}\n#]+")


class Place(NamedTuple):
    """A line and a column, both from 1."""

    line: int
    column: int


class TomlPlaces:
    """The places of the keys and the array items of a valid TOML document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._offsets: dict[Keys, int] = {}
        self._counts: dict[Keys, int] = {}
        self._scan()

    def of(self, path: Keys) -> Place:
        """Return the place of a value, or of the nearest value around it."""
        while path and path not in self._offsets:
            path = path[:-1]
        offset = self._offsets.get(path, 0)
        before = self._text[:offset]
        return Place(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)

    def _scan(self) -> None:
        table: Keys = ()
        while self._skip():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._entry(table)

    def _skip(self) -> bool:
        """Skip blanks and comments; return whether text is left."""
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def _header(self) -> Keys:
        """Read `[table]` or `[[array of tables]]`."""
        start = self._at
        repeated = self._text.startswith("[[", start)
        self._at += 2 if repeated else 1
        keys = self._keys()
        self._at = self._text.index("]", self._at) + (2 if repeated else 1)
        path = (*self._inside(keys[:-1], start), keys[-1])
        if repeated:
            self._offsets.setdefault(path, start)
            path = self._item(path, start)
        self._offsets[path] = start
        return path

    def _inside(self, keys: list[str], start: int) -> Keys:
        """Return the path of keys, which go through the last item of an array of tables."""
        path: Keys = ()
        for key in keys:
            path = (*path, key)
            self._offsets.setdefault(path, start)
            if path in self._counts:
                path = (*path, str(self._counts[path] - 1))
        return path

    def _item(self, array: Keys, offset: int) -> Keys:
        number = self._counts.get(array, 0)
        self._counts[array] = number + 1
        self._offsets[*array, str(number)] = offset
        return (*array, str(number))

    def _keys(self) -> list[str]:
        """Read a key, which dots may divide."""
        keys = []
        while True:
            self._skip()
            found = _KEY.match(self._text, self._at)
            if found is None:
                raise ValueError("the text is not the TOML that was parsed")
            keys.append(_unquoted(found.group()))
            self._at = found.end()
            self._skip()
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _entry(self, table: Keys) -> None:
        """Read `key = value`."""
        start, path = self._at, table
        for key in self._keys():
            path = (*path, key)
            self._offsets.setdefault(path, start)
        self._offsets[path] = start
        self._at = self._text.index("=", self._at) + 1
        self._value(path)

    def _value(self, path: Keys) -> None:
        self._skip()
        opening = self._text[self._at]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            found = _QUOTED.match(self._text, self._at) or _PLAIN.match(self._text, self._at)
            self._at = found.end() if found else self._at + 1

    def _array(self, path: Keys) -> None:
        self._at += 1
        number = 0
        while self._opens_another("]"):
            self._offsets[*path, str(number)] = self._at
            self._value((*path, str(number)))
            number += 1

    def _inline_table(self, path: Keys) -> None:
        self._at += 1
        while self._opens_another("}"):
            self._entry(path)

    def _opens_another(self, closing: str) -> bool:
        """Skip a comma; return whether another item follows, and skip the bracket if not."""
        self._skip()
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip()
        if self._text.startswith(closing, self._at):
            self._at += 1
            return False
        return True


def _unquoted(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 0"))) if key[0] in "\"'" else key
