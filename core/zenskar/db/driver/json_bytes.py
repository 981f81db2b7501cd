"""JSON as bytes that wait in memory."""

from typing import Any

import orjson

from zenskar.errors import SchemaViolation, Violation
from zenskar.model.json_text import find_beyond_64_bits


def json_bytes(value: Any) -> bytes:
    """Return JSON in as much memory as it needs.

    orjson returns bytes that keep their buffer of 8 KB, and thousands of messages wait at a time.
    `join` copies them when it joins more than one. Raises `SchemaViolation` for an integer that 64
    bits cannot hold.
    """
    try:
        return b"".join((orjson.dumps(value), b""))
    except TypeError:
        place = find_beyond_64_bits(value)
        if place is None:
            raise
        violation = Violation(place, "has too many digits")
        raise SchemaViolation("the message", [violation]) from None
