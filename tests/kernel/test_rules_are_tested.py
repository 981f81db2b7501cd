"""A rule that is taken out fails the tests that carry its number, and not only the search."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kernel import (
    test_clocks,
    test_merged_objects,
    test_restored,
    test_rule_10,
    test_rules_1_to_5,
    test_rules_6_to_9,
    test_unanswered,
)
from tests.kernel.mutations import MUTATIONS, Mutation


def named_after(rule: int) -> list[Callable[..., None]]:
    """Return the tests that name a rule."""
    return [
        test
        for module in (
            test_rules_1_to_5,
            test_rules_6_to_9,
            test_rule_10,
            test_unanswered,
            test_clocks,
            test_merged_objects,
            test_restored,
        )
        for name, test in vars(module).items()
        if name.startswith(f"test_rule_{rule}_")
    ]


def cases_of(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """Yield the arguments that a test is called with."""
    sets = []
    for mark in getattr(test, "pytestmark", ()):
        names, values = mark.args
        if isinstance(names, str):
            sets.append([{names: value} for value in values])
        else:
            sets.append([dict(zip(names, value, strict=True)) for value in values])
    for chosen in itertools.product(*sets):
        yield {name: value for some in chosen for name, value in some.items()}


def failed(rule: int) -> set[str]:
    """Run the tests that name a rule, and return those that fail."""
    found = set()
    for test in named_after(rule):
        for arguments in cases_of(test):
            try:
                test(**arguments)
            except Exception:  # noqa: BLE001 - whatever it is, the test fails
                found.add(test.__name__)
    return found


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[f"{m.rule}: {m.name}" for m in MUTATIONS])
def test_a_rule_that_is_taken_out_fails_its_own_test(mutation: Mutation) -> None:
    with mutation.applied():
        assert failed(mutation.rule)


@pytest.mark.parametrize("rule", range(1, 11))
def test_every_rule_has_tests_that_it_passes(rule: int) -> None:
    assert named_after(rule)
    assert failed(rule) == set()
