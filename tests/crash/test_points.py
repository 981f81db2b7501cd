"""Every point that the code names is one at which something is killed."""

import re

from tests.crash.processes import ROOT
from tests.simulation.workers import POINTS

OF_THE_API = {"webhook.published"}
OF_THE_RELAY = {"relay.claimed", "relay.published"}
"""Passed with Kafka only; they are killed there in the Kafka lane."""


def test_no_point_is_left_out() -> None:
    named = {
        point
        for path in (ROOT / "core").rglob("*.py")
        for point in re.findall(r'passing\("([\w.]+)"\)', path.read_text())
    }
    assert named == set(POINTS) | OF_THE_API | OF_THE_RELAY
