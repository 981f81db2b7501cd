"""Parse faults from JSON and check every member."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from zenskar.http.lookalike.bad_input import BadInput
from zenskar.http.lookalike.faults import Fault, FaultKind, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

_Word = TypeVar("_Word", bound=StrEnum)

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "count": (int,),
    "probability": (int, float),
    "seed": (int,),
    "method": (str,),
    "path_prefix": (str,),
    "event_type": (str,),
    "effect": (bool,),
    "retry_after": (int,),
    "reason": (str,),
    "status": (int,),
    "code": (str,),
    "delay_seconds": (int, float),
    "copies": (int,),
    "size": (int,),
    "attempts": (int,),
}
_NULLABLE: Final = frozenset({"count", "probability", "method", "event_type", "retry_after"})


def read_fault(body: Mapping[str, Any]) -> Fault:
    """Return the fault of a JSON object. Raises `BadInput` for a wrong member."""
    known = {item.name for item in fields(Fault)}
    if unknown := sorted(body.keys() - known):
        raise BadInput(f"unknown members: {', '.join(unknown)}")
    if "kind" not in body:
        raise BadInput("kind is missing")
    options = {name: _value(name, value) for name, value in body.items() if name != "kind"}
    return Fault(kind=_word(FaultKind, "kind", body["kind"]), **options)


def _value(name: str, value: object) -> Any:
    if name == "mode":
        return _word(Mode, name, value)
    if value is None and name in _NULLABLE:
        return None
    wanted = _TYPES[name]
    # In Python bool is an int, but in JSON `true` is not a number.
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise BadInput(f"{name} must be of type {' or '.join(each.__name__ for each in wanted)}")
    return value.upper() if name == "method" and isinstance(value, str) else value


def _word(words: type[_Word], name: str, value: object) -> _Word:
    try:
        return words(value)  # type: ignore[arg-type]
    except ValueError:
        raise BadInput(f"{name} must be one of {', '.join(words)}") from None
