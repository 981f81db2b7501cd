"""A test kills a process at every failpoint of the code."""

import re
from collections.abc import Callable
from typing import Any

from tests.cli.commands import test_mappings
from tests.crash import test_api_killed, test_sigkill
from tests.crash.processes import ROOT
from tests.kafka import test_head_of_log, test_relay_killed
from tests.sync.outbound import test_enrichment

KILLERS = (
    test_sigkill.test_a_killed_worker_loses_nothing,
    test_sigkill.test_a_killed_poll_loses_nothing,
    test_enrichment.test_a_worker_that_dies_leaves_the_body_that_it_has_stored,
    test_api_killed.test_a_webhook_has_one_effect,
    test_mappings.test_a_killed_link_is_completed_by_a_repeat,
    test_relay_killed.test_a_killed_relay_loses_nothing_and_keeps_the_order,
    test_head_of_log.test_an_ended_message_is_skipped_although_the_first_command_is_killed,
)
"""The last two files run in the Kafka lane: without Kafka there is neither relay nor log."""


def points_of(test: Callable[..., Any]) -> set[str]:
    """Return the failpoints at which a test kills."""
    found: set[str] = set()
    for mark in getattr(test, "pytestmark", ()):
        names, values = mark.args
        if names == "point":
            found |= set(values)
        elif "point" in names:
            found |= {each[names.index("point")] for each in values}
    return found


def test_no_point_is_left_out() -> None:
    named = {
        point
        for path in (ROOT / "core").rglob("*.py")
        for point in re.findall(r'failpoint\("([\w.]+)"\)', path.read_text())
    }
    assert named == set().union(*map(points_of, KILLERS))
