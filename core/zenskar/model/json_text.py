"""Read JSON, and distinguish what is too deep or too large from a text that is no JSON.

RFC 8259 sets no limits: https://www.rfc-editor.org/rfc/rfc8259#section-9.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NoReturn

_MOST_DIGITS = 4300
"""Python converts no longer text into an integer."""
_TOKEN = re.compile(
    r"""[ \t\n\r]*+(
        [\[\]{},:]
        | "[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"
        | -?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?
        | true | false | null
    )""",
    re.VERBOSE,
)
_CLOSING = {"[": "]", "{": "}"}
_LEAST, _MOST = -(2**63), 2**64 - 1
"""The integers that a parser of 64 bits reads; it reads all others as rounded numbers."""
_FEWEST_DIGITS, _STRIDE = 19, 4
_MARKS = bytes.maketrans(b"123456789[,", b"000000000::")
_NO_MARKS = b" \t\n\r-"
_SAMPLE, _NUMBER = b"0" * (_FEWEST_DIGITS // _STRIDE), b":" + b"0" * _FEWEST_DIGITS


def may_round(text: bytes) -> bool:
    """Return whether a parser of 64 bits may round an integer of a JSON text; False is certain.

    A run of that many digits shows in every fourth byte too. To search in those takes 2.5 µs for a
    webhook of 2 KB, which is 3 % of the API's work for it; a regular expression takes 45 µs.
    """
    if _SAMPLE not in text[::_STRIDE].translate(_MARKS):
        return False
    # Digits of a text, or behind the point of a number, have no such sign before them.
    return _NUMBER in (b":" + text).translate(_MARKS, _NO_MARKS)


def find_beyond_64_bits(value: Any) -> str | None:
    """Return the JSON pointer of an integer that 64 bits cannot hold, None without one."""
    if isinstance(value, int):
        return None if _LEAST <= value <= _MOST else ""
    members: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, (dict, list)):
        members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in members:
        if (found := find_beyond_64_bits(inner)) is not None:
            return f"/{str(name).replace('~', '~0').replace('/', '~1')}{found}"
    return None


def read(text: str) -> Any:
    """Return the value of a JSON text.

    Raises `ValueError` for a text that is no JSON. Raises `RecursionError` for JSON that is nested
    too deeply, `OverflowError` for JSON with a number that Python does not read.
    """
    numbers = _Numbers()
    try:
        value = json.loads(
            text, parse_int=numbers.integer, parse_float=numbers.real, parse_constant=_refuse
        )
    except RecursionError:
        if _is_json(text):
            raise
        raise ValueError("the text is no JSON") from None
    if numbers.too_large:
        raise OverflowError("a number is too large")
    return value


class _Numbers:
    """Reads numbers, and notes whether one is too large."""

    too_large = False

    def integer(self, digits: str) -> int:
        if len(digits) <= _MOST_DIGITS:
            return int(digits)
        self.too_large = True
        return 0

    def real(self, digits: str) -> float:
        value = float(digits)
        self.too_large |= math.isinf(value)
        return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _is_json(text: str) -> bool:
    """Return whether a text is JSON, however deep it is nested."""
    nested: list[str] = []
    state, at = "value", 0
    while state and (token := _TOKEN.match(text, at)):
        at, state = token.end(), _next(state, token[1][0], nested)
    return state == "end" and not nested and not text[at:].strip(" \t\n\r")


def _next(state: str, first: str, nested: list[str]) -> str:
    """Return the state after a token with this first character, empty if it may not stand here.

    `nested` holds the closing characters of the open arrays and objects.
    """
    closing = nested[-1] if nested else ""
    if first in "]}":
        return "end" if state in {"end", "first"} and closing == first and nested.pop() else ""
    if first == ",":
        return {"]": "value", "}": "name"}.get(closing, "") if state == "end" else ""
    if first == ":" or state in {"colon", "end"}:
        return "value" if (state, first) == ("colon", ":") else ""
    if state == "name" or (state == "first" and closing == "}"):
        return "colon" if first == '"' else ""
    if first in _CLOSING:
        nested.append(_CLOSING[first])
    return "first" if first in _CLOSING else "end"
