"""Each broken plugin fails the checks that are made for its fault.

A sound plugin passes every check: `test_kit.py` and the template's own tests.
"""

import pytest

import tests.testing.broken_states  # noqa: F401 - registers its plugins
from tests.support.databases import Databases
from tests.testing.broken import BROKEN
from zenskar.testing import CheckOutcome, judge


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_caught(name: str, databases: Databases) -> None:
    plugin = BROKEN[name]
    case = type(name, (plugin.case,), {"database": lambda _: databases.one_more()})
    verdicts = judge(case, only=plugin.caught_by)
    assert {each.check for each in verdicts} == plugin.caught_by
    assert [each for each in verdicts if each.outcome is not CheckOutcome.FAILED] == []
