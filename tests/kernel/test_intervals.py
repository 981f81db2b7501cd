"""The order of intervals."""

import pytest

from zenskar.kernel.intervals import Order, compare, later
from zenskar.model.interval import Interval


@pytest.mark.parametrize(
    ("seen", "order"),
    [
        ((0, 9), Order.BEFORE),
        ((0, 10), Order.OVERLAPS),
        ((12, 13), Order.OVERLAPS),
        ((0, 99), Order.OVERLAPS),
        ((20, 99), Order.OVERLAPS),
        ((21, 99), Order.AFTER),
    ],
)
def test_only_what_does_not_touch_is_ordered(seen: tuple[int, int], order: Order) -> None:
    assert compare(Interval(*seen), Interval(10, 20)) is order


@pytest.mark.parametrize("other", [(0, 30), (5, 15), (15, 25), (12, 13), (30, 40)])
def test_the_later_of_two_looks_lies_in_what_later_returns(other: tuple[int, int]) -> None:
    first, second = Interval(10, 20), Interval(*other)
    both = later(first, second)
    assert both == later(second, first)
    for one in range(first.low, first.high + 1):
        for two in range(second.low, second.high + 1):
            assert both.low <= max(one, two) <= both.high


def test_a_second_holds_its_microseconds() -> None:
    assert Interval.of_second(3) == Interval(3_000_000, 3_999_999)
    with pytest.raises(ValueError, match="ends before it starts"):
        Interval(2, 1)
