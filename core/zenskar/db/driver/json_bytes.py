"""JSON as bytes that wait in memory."""

from typing import Any

import orjson


def json_bytes(value: Any) -> bytes:
    """Return JSON in as much memory as it needs.

    orjson returns bytes that keep their buffer of 8 KB, and thousands of messages wait at a time.
    `join` copies them when it joins more than one.
    """
    return b"".join((orjson.dumps(value), b""))
