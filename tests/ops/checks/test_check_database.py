"""The findings of `zenskar doctor` about the contents of the database."""

from datetime import UTC, datetime, timedelta

import pytest

from zenskar.db.polls import FeedState
from zenskar.ops.checks.check_database import check_feed


@pytest.mark.parametrize(
    ("ago", "failures", "verdict", "detail"),
    [
        (90.0, 0, "ok", "read to its end 9"),
        (None, 0, "ok", "never"),
        (90.0, 3, "failed", "since: 3"),
        (None, 1, "failed", "never"),
    ],
)
def test_a_feed_whose_polls_fail_is_named(
    ago: float | None, failures: int, verdict: str, detail: str
) -> None:
    polled_at = None if ago is None else datetime.now(UTC) - timedelta(seconds=ago)
    found = check_feed("crm", FeedState(polled_at, failures))
    assert (found.part, found.verdict) == ("feed of crm", verdict)
    assert detail in found.detail
