"""Parse `--filter key=value` of `zenskar dlq`."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zenskar.cli import session
from zenskar.cli.time_options import moment_of, seconds_of
from zenskar.errors import InvalidInput
from zenskar.model.sync_event import Direction

if TYPE_CHECKING:
    from zenskar.db.events.event_log import EventFilter


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
        "older_than": seconds_of,
        "newer_than": seconds_of,
        "since": moment_of,
        "until": moment_of,
    }
)
