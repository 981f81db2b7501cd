"""Rule 1: an external object is seen within an interval, never at an instant."""

from enum import Enum

from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.model.observation import Observation

LATE = 120 * MICROSECONDS
"""News that was sent so long after it happened may have been overtaken by other news."""


class Order(Enum):
    """Where one interval lies relative to another."""

    BEFORE = "before"
    OVERLAPS = "overlaps"
    AFTER = "after"


def compare(seen: Interval, known: Interval) -> Order:
    """Tell whether `seen` lies wholly before, wholly after or across `known`."""
    if seen.high < known.low:
        return Order.BEFORE
    if seen.low > known.high:
        return Order.AFTER
    return Order.OVERLAPS


def order(seen: Observation, known: Interval) -> Order:
    """Tell whether news is older or newer than a base, as far as its date can be trusted.

    The external clock may be set back. News older than a base that is dated after the news was
    sent, and news dated after it was sent, are neither; nor is late news that looks newer.
    """
    found = compare(seen.asof, known)
    if seen.sent is None or found is Order.OVERLAPS:
        return found
    if found is Order.BEFORE:
        return Order.OVERLAPS if seen.sent.high < known.low else found
    return Order.OVERLAPS if seen.asof.low > seen.sent.high or is_late(seen) else found


def is_late(seen: Observation) -> bool:
    """Whether news was sent so long after it happened that it may have been overtaken."""
    return seen.sent is not None and seen.sent.low - seen.asof.high > LATE


def renewed(base: Interval, seen: Interval) -> Interval:
    """Return the date of a base in whose place a look is taken, whatever their dates.

    One that looks older was taken after the clock was set back. What happened between the two
    dates happened before that, or after: nobody can tell.
    """
    if seen.low < base.low and seen.high < base.high:
        return Interval(seen.low, base.high)
    return later(base, seen)


def later(first: Interval, second: Interval) -> Interval:
    """Return when the later of two looks was taken, whichever it is."""
    if second.low >= first.low and second.high >= first.high:
        return second
    return Interval(max(first.low, second.low), max(first.high, second.high))
