"""The search detects a kernel without one of its rules by a broken invariant.

`python -m tests.kernel.check --mutations` prints the findings and their numbers of moves. With all
rules the same bounds hold: `make check-kernel-small` searches them too.
"""

import pytest

from tests.kernel.mutations import MUTATIONS, Mutation
from tests.kernel.search import explore


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[f"{m.rule}: {m.name}" for m in MUTATIONS])
def test_a_rule_that_is_taken_out_is_missed(mutation: Mutation) -> None:
    with mutation.applied():
        result = explore(mutation.bounds)
    assert result.problem
    assert 1 < len(result.trace) < 25


def test_every_rule_is_taken_out() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == set(range(1, 11))
