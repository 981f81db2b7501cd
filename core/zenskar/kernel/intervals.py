"""Rule 1: an external object is seen within an interval, never at an instant."""

from enum import Enum

from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.model.observation import Observation

LATE = 120 * MICROSECONDS
"""An observation sent this long after its state may have been overtaken by another one."""


class Order(Enum):
    """The position of an interval relative to another."""

    BEFORE = "before"
    OVERLAPS = "overlaps"
    AFTER = "after"


def compare(seen: Interval, known: Interval) -> Order:
    """Return whether `seen` lies wholly before, wholly after or across `known`."""
    if seen.high < known.low:
        return Order.BEFORE
    if seen.low > known.high:
        return Order.AFTER
    return Order.OVERLAPS


def order(seen: Observation, known: Interval) -> Order:
    """Return whether an observation is older or newer than a base, if its date can be trusted.

    The external clock may be moved back. The order is open (`OVERLAPS`) for an observation
    older than a base that is dated after its sending, for an observation dated after its own
    sending, and for a late observation that looks newer.
    """
    found = compare(seen.asof, known)
    if seen.sent is None or found is Order.OVERLAPS:
        return found
    if found is Order.BEFORE:
        return Order.OVERLAPS if seen.sent.high < known.low else found
    return Order.OVERLAPS if seen.asof.low > seen.sent.high or is_late(seen) else found


def is_late(seen: Observation) -> bool:
    """Whether an observation was sent so long after its state that it may have been overtaken."""
    return seen.sent is not None and seen.sent.low - seen.asof.high > LATE


def renewed(base: Interval, seen: Interval) -> Interval:
    """Return the date of a base that an observation replaces, whatever their dates.

    An observation that looks older was made after the clock was moved back. Events between the two
    dates may have happened before or after that, so the new date covers both.
    """
    if seen.low < base.low and seen.high < base.high:
        return Interval(seen.low, base.high)
    return later(base, seen)


def later(first: Interval, second: Interval) -> Interval:
    """Return the interval of the later of two observations, whose order may be unknown."""
    if second.low >= first.low and second.high >= first.high:
        return second
    return Interval(max(first.low, second.low), max(first.high, second.high))
