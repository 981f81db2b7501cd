"""Times that people give."""

from datetime import UTC, datetime

import pytest

from zenskar.errors import InvalidInput
from zenskar.model.moment import parse_moment


@pytest.mark.parametrize(
    "text", ["2030-01-31T12:00", "2030-01-31T12:00:00Z", "2030-01-31T14:00+02:00"]
)
def test_a_time_is_utc_without_a_zone(text: str) -> None:
    assert parse_moment(text) == datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "1969-12-31", "0001-01-01T00:00+01:00"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="a time must be"):
        parse_moment(text)
