"""Texts as PostgreSQL stores them: without NUL, and without halves of surrogate pairs.

An external system may hold both. U+FFFD replaces each of them.
https://www.postgresql.org/docs/15/datatype-json.html
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from zenskar.errors import REPLACEMENT, UNSTORABLE, InvalidInput
from zenskar.model import json_text

MOST_ID_CHARACTERS = 512
"""The limit of an indexed id: an index row holds about 2,700 bytes, a character up to four."""
_NUL = b"\\u0000"
"""How every NUL is written in JSON (RFC 8259, section 7)."""


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL stores this text unchanged."""
    return UNSTORABLE.search(text) is None


def is_indexable(name: Any) -> bool:
    """Return whether an index stores this name unchanged."""
    return isinstance(name, str) and 0 < len(name) <= MOST_ID_CHARACTERS and is_storable(name)


def indexable(value: Any, most: int = MOST_ID_CHARACTERS) -> str:
    """Return a name that fits an index: the value itself, or its start and a digest."""
    name = str(value)
    if is_indexable(name) and len(name) <= most:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{storable(name)[: most - len(digest) - 1]}#{digest}"


def storable(value: Any) -> Any:
    """Return a JSON value with storable texts and member names.

    Raises `InvalidInput` when the value is nested too deeply.
    """
    try:
        return _storable(value)
    except RecursionError:
        raise InvalidInput("it is nested too deeply") from None


def loads(text: bytes) -> tuple[Any, bool]:
    """Return the storable value of a JSON text, and whether it equals the text.

    Raises `ValueError` when the text is no JSON in UTF-8. Raises `RecursionError` for JSON that is
    nested too deeply, `OverflowError` for JSON with too large a number.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        # Half of a surrogate pair, a large number, great depth, or no JSON.
        return _storable(json_text.read(text.decode())), False
    if json_text.may_round(text):
        value = json_text.read(text.decode())
    if not has_nul(text):
        return value, True
    kept = _storable(value)
    return kept, kept == value


def has_nul(text: bytes) -> bool:
    """Return whether a JSON text may hold NUL; False is certain."""
    # Most texts have no escape at all: to search for one byte takes a tenth of the time.
    return b"\\" in text and _NUL in text


def _storable(value: Any) -> Any:
    try:
        if not has_nul(orjson.dumps(value)):
            return value
    except TypeError:
        # Half of a surrogate pair, or a value that is no JSON: such a value stays unchanged.
        pass
    return _replaced(value)


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, Mapping):
        return _members(value)
    return [_replaced(item) for item in value] if isinstance(value, (list, tuple)) else value


def _members(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """Replace in names too; names that become equal get more replacement characters."""
    made: dict[Any, Any] = {}
    kept = {name: value for name, value in mapping.items() if _replaced(name) == name}
    for name in (*kept, *sorted(mapping.keys() - kept.keys())):
        free = _replaced(name)
        while free in made:
            free += REPLACEMENT
        made[free] = _replaced(mapping[name])
    return made
