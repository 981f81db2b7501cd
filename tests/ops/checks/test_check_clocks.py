"""`zenskar doctor` reports a wrong clock."""

import pytest

from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.ops.checks.check_clocks import check_offset


@pytest.mark.parametrize(
    ("low", "high", "verdict", "told"),
    [
        (-0.4, 0.6, "ok", "is that of this side"),
        (-30, 40, "ok", "is that of this side"),
        (4.5, 5.5, "note", "is 5.0 seconds ahead of ours"),
        (-5.5, -4.5, "note", "is 5.0 seconds behind ours"),
        (-400.5, -399.5, "failed", "is 400.0 seconds behind ours"),
    ],
)
def test_an_offset(low: float, high: float, verdict: str, told: str) -> None:
    offset = Interval(int(low * MICROSECONDS), int(high * MICROSECONDS))
    found = check_offset("clock of stripe", offset)
    assert (found.part, found.verdict.value, found.detail) == ("clock of stripe", verdict, told)
    assert (found.fix is None) == (verdict == "ok")
