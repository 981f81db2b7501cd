"""The interleavings of the fewest moves within small bounds.

`make check-kernel-small` searches all interleavings within the same bounds.
"""

import pytest

from tests.kernel.mutations import MUTATIONS
from tests.kernel.scenarios import deep, small, synced
from tests.kernel.search import explore
from tests.kernel.walks import walk
from tests.kernel.world import Bounds

SMALL, DEEP = small(), deep()
STATES = 1000
"""States of each search that take the fewest moves."""


@pytest.mark.parametrize("bounds", SMALL, ids=[one.name for one in SMALL])
def test_no_interleaving_breaks_an_invariant(bounds: Bounds) -> None:
    result = explore(bounds, STATES)
    assert result.problem == "", str(result)
    assert result.rests > 0 or not result.complete


def test_a_search_finds_the_same_again() -> None:
    bounds = Bounds("one edit on each side", synced(internal=1, external=1))
    first, second = explore(bounds), explore(bounds)
    assert (first.states, first.rests) == (second.states, second.rests)


@pytest.mark.parametrize("bounds", DEEP, ids=[one.name for one in DEEP])
def test_no_long_random_run_breaks_an_invariant(bounds: Bounds) -> None:
    result = walk(bounds, walks=50, seed=7)
    assert result.problem == "", str(result)


def test_random_runs_notice_a_rule_that_is_taken_out() -> None:
    mutation = next(m for m in MUTATIONS if "any answer" in m.name)
    with mutation.applied():
        assert walk(DEEP[0], walks=500, seed=7).problem
