"""Parse `--filter key=value` of `zenskar dlq`."""

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zenskar.cli import session
from zenskar.errors import InvalidInput
from zenskar.model.sync_event import Direction

if TYPE_CHECKING:
    from zenskar.db.events.event_log import EventFilter

_UNITS = MappingProxyType({"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800})


def filter_of(pairs: Iterable[str], ids: tuple[str, ...] | None = None) -> "EventFilter":
    """Return the filter for dead letters that match all pairs.

    Raises `InvalidInput` when a key is unknown or given twice, or a value is wrong.
    """
    from zenskar.db.events.event_log import EventFilter
    from zenskar.ops.dead_letters import only_dead

    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if name not in _READERS or not separator or not text:
            raise InvalidInput(
                f"--filter {pair!r}: use KEY=VALUE, where KEY is one of {', '.join(_READERS)}"
            )
        if name in values:
            raise InvalidInput(f"--filter {name} is given twice")
        values[name] = _READERS[name](text)
    return only_dead(EventFilter(**values, ids=ids))


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhdw]?)", text, re.ASCII)
    if match is None:
        raise InvalidInput(f"{text!r} is not a duration: use 90s, 15m, 2h, 3d or 1w")
    return float(match[1]) * _UNITS[match[2]]


def _direction(text: str) -> Direction:
    try:
        return Direction(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a direction: use {' or '.join(Direction)}") from None


_READERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "source": str,
        "direction": _direction,
        "customer_id": session.parse_id,
        "reason": str,
        "error_kind": str,
        "event_type": str,
        "correlation_id": str,
        "external_id": str,
        "error": str,
        "older_than": _seconds,
        "newer_than": _seconds,
    }
)
