"""Each broken plugin fails exactly the checks that are made for its fault."""

import pytest

from tests.testing.broken import BROKEN
from zenskar.testing import CheckOutcome, judge


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_caught(name: str) -> None:
    plugin = BROKEN[name]
    failed = {
        each.check: each for each in judge(plugin.case) if each.outcome is CheckOutcome.FAILED
    }
    assert failed.keys() == plugin.caught_by, failed
