"""Texts as PostgreSQL stores them: without NUL, and without halves of surrogate pairs.

An external system may hold both, and what it holds is a fact. U+FFFD stands for each of them.
https://www.postgresql.org/docs/15/datatype-json.html
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

from zenskar.errors import InvalidInput

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MOST_ID_CHARACTERS = 512
"""Of an id in an index: a row of one takes about 2,700 bytes, and a character up to four."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NUL = b"\\u0000"
"""How every NUL is written in JSON (RFC 8259, section 7)."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL stores this text as it is."""
    return _UNSTORABLE.search(text) is None


def is_indexable(name: Any) -> bool:
    """Tell whether this is a name that an index takes as it is."""
    return isinstance(name, str) and 0 < len(name) <= MOST_ID_CHARACTERS and is_storable(name)


def indexable(value: Any, most: int = MOST_ID_CHARACTERS) -> str:
    """Return a name that an index takes: the value itself, or its beginning and a digest."""
    name = str(value)
    if is_indexable(name) and len(name) <= most:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{storable(name)[: most - len(digest) - 1]}#{digest}"


def storable(value: Any) -> Any:
    """Return a JSON value whose texts and names of members can be stored.

    Raises `InvalidInput` for what is nested too deeply.
    """
    try:
        if _NUL not in orjson.dumps(value):
            return value
    except TypeError:
        # A half of a pair, or what is no JSON: that stays as it is.
        pass
    try:
        return _replaced(value)
    except RecursionError:
        raise InvalidInput("it is nested too deeply") from None


def loads(text: bytes) -> tuple[Any, bool]:
    """Return what JSON text says, as it can be stored, and whether that is exact.

    Raises `ValueError` or `RecursionError` when it is no JSON in UTF-8.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        if not _SURROGATE.search(text):
            raise
        value = json.loads(text.decode(), parse_constant=_refuse)
        return storable(value), False
    kept = storable(value) if _NUL in text else value
    return kept, kept == value


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, Mapping):
        return _members(value)
    return [_replaced(item) for item in value] if isinstance(value, (list, tuple)) else value


def _members(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    """Replace in names too; names that only differed in what was replaced stay different."""
    made: dict[Any, Any] = {}
    kept = {name: value for name, value in mapping.items() if _replaced(name) == name}
    for name in (*kept, *sorted(mapping.keys() - kept.keys())):
        free = _replaced(name)
        while free in made:
            free += REPLACEMENT
        made[free] = _replaced(mapping[name])
    return made


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
