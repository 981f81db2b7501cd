"""Bodies of webhooks that no external system sends."""

import json
from collections.abc import Iterator
from typing import Any

_STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "é\udcff",
    [],
    {},
    [[[]]],
    {"a": {"b": 1}},
)
_BEYOND_PYTHON = (b"[" * 5_000 + b"]" * 5_000, b'{"id":' + b"9" * 5_000 + b"}", b'{"id":1e400}')
"""JSON that is nested too deeply, or has too large a number."""
_PLACES = 150
"""The members of one sample that are replaced by strange values."""
_CUTS = 40
"""The places at which bytes that are no JSON are cut, and get strange bytes."""
_STRANGE_BYTES = (b"\x00", b"\xff", b"\xc3", b"<", b"&#0;", b"%00", b"%FF", b"&", b"=", b'"')


def encoded(value: Any) -> bytes:
    """Return a value as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def strange_bodies() -> Iterator[bytes]:
    """Yield JSON of every form."""
    for value in (*_STRANGE, _deep(60)):
        yield encoded(value)
    yield from _BEYOND_PYTHON


def variants(sample: Any) -> Iterator[bytes]:
    """Yield a sample with each part removed or changed: members of JSON, else bytes."""
    if isinstance(sample, bytes):
        yield from _damaged(sample)
        return
    for place in list(_places(sample, ()))[:_PLACES]:
        yield encoded(_changed(sample, place))
        for value in _STRANGE:
            yield encoded(_changed(sample, place, value))


def _damaged(sample: bytes) -> Iterator[bytes]:
    for at in range(0, len(sample), max(1, len(sample) // _CUTS)):
        yield sample[:at]
        yield sample[at:]
        for strange in _STRANGE_BYTES:
            yield sample[:at] + strange + sample[at:]


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else []


def _places(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in members:
        yield (*place, name)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*place, name))


_REMOVED = object()


def _changed(sample: Any, place: tuple[Any, ...], value: Any = _REMOVED) -> Any:
    copy: Any = json.loads(json.dumps(sample))
    inner = copy
    for name in place[:-1]:
        inner = inner[name]
    if value is _REMOVED:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return copy
