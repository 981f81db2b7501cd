"""A test kills a process at every failpoint of the code."""

import re
from collections.abc import Callable
from typing import Any

from tests.crash import test_api_killed, test_sigkill
from tests.crash.processes import ROOT
from tests.kafka import test_relay_killed

KILLERS = (
    test_sigkill.test_a_killed_worker_loses_nothing,
    test_sigkill.test_a_killed_poll_loses_nothing,
    test_api_killed.test_a_webhook_has_one_effect,
    test_relay_killed.test_a_killed_relay_loses_nothing_and_keeps_the_order,
)
"""The last file runs in the Kafka lane: without Kafka there is no relay."""


def points_of(test: Callable[..., Any]) -> set[str]:
    """Return the failpoints at which a test kills."""
    marks = {mark.args[0]: mark.args[1] for mark in getattr(test, "pytestmark", ())}
    return set(marks["point"])


def test_no_point_is_left_out() -> None:
    named = {
        point
        for path in (ROOT / "core").rglob("*.py")
        for point in re.findall(r'failpoint\("([\w.]+)"\)', path.read_text())
    }
    assert named == set().union(*map(points_of, KILLERS))
