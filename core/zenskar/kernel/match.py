"""Rule 7: the record of an object that carries no record's id, by equal values."""

from typing import Any, NamedTuple

from zenskar.kernel.situation import Situation
from zenskar.model.fields import Fields
from zenskar.model.record import Record

MOST_CANDIDATES = 50
"""The most records with an equal first value among which the next field decides."""


class Match(NamedTuple):
    """The records that an object may belong to, and the only free one, if that is certain."""

    record_ids: tuple[str, ...]
    record: Record | None = None


def match(situation: Situation, fields: Fields, *, unique: bool = True) -> Match:
    """Return the records whose values equal those of an unknown object.

    The first field decides alone if one record has its value and is free. Otherwise the value is
    not unique, and each further field rules out the records with another value. A value is not
    `unique` either if another unknown object has it.
    """
    first, *further = situation.match_by
    left = [c for c in situation.candidates if is_same(c.record.fields, fields, first)]
    if unique and len(left) == 1 and left[0].free:
        return Match((left[0].record.id,), left[0].record)
    for name in further if len(left) <= MOST_CANDIDATES else ():
        left = [c for c in left if is_same(c.record.fields, fields, name) is not False]
        if len(left) == 1 and left[0].free and is_same(left[0].record.fields, fields, name):
            return Match((left[0].record.id,), left[0].record)
    return Match(tuple(c.record.id for c in left))


def is_same(one: Fields, other: Fields, name: str) -> bool | None:
    """Return whether a field has equal values, None when a value is empty."""
    left, right = one.get(f"/{name}"), other.get(f"/{name}")
    if left is None or right is None:
        return None
    return bool(normalized(left) == normalized(right))


def normalized(value: Any) -> Any:
    """Return a value as it is compared: a text without the space around it and without case."""
    return value.strip().casefold() if isinstance(value, str) else value
