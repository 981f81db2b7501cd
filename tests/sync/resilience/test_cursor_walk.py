"""Cursors that repeat are recognised, whatever leads to their cycle."""

import pytest

from zenskar.sync.resilience.cursor_walk import CursorWalk


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 100])
@pytest.mark.parametrize("before", [0, 1, 2, 5, 63, 100])
def test_every_cycle_is_found_soon(before: int, length: int) -> None:
    walk, steps = CursorWalk(None), 0
    while not walk.repeats(str(steps if steps < before else before + (steps - before) % length)):
        steps += 1
        assert steps <= 3 * (before + length + 1)


def test_a_start_that_returns_is_found_at_once() -> None:
    assert CursorWalk("a").repeats("a")


def test_cursors_that_advance_are_no_cycle() -> None:
    walk = CursorWalk(None)
    assert not any(walk.repeats(str(number)) for number in range(1000))
