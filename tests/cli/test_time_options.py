"""The options `--since` and `--until`."""

from datetime import UTC, datetime, timedelta

import pytest

from zenskar.cli.time_options import moment_of
from zenskar.errors import InvalidInput


@pytest.mark.parametrize("text", ["2h", "120m", "2h ago"])
def test_a_duration_is_that_long_ago(text: str) -> None:
    found = moment_of(text)
    assert found is not None
    assert abs(datetime.now(UTC) - timedelta(hours=2) - found) < timedelta(minutes=1)


def test_a_time_is_a_time_and_nothing_is_no_filter() -> None:
    assert moment_of("2030-01-31") == datetime(2030, 1, 31, tzinfo=UTC)
    assert moment_of(None) is None
    with pytest.raises(InvalidInput, match="a time must be"):
        moment_of("soon")
