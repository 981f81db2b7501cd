"""Rule 1: an external object is seen within an interval, never at an instant."""

from enum import Enum

from zenskar.model.interval import Interval


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


def later(first: Interval, second: Interval) -> Interval:
    """Return when the later of two looks was taken, whichever it is."""
    if second.low >= first.low and second.high >= first.high:
        return second
    return Interval(max(first.low, second.low), max(first.high, second.high))
