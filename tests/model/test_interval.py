"""The times that external systems report."""

from typing import Any

import pytest

from zenskar.errors import InvalidInput
from zenskar.model.interval import Interval, http_date


@pytest.mark.parametrize(
    ("header", "second"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 784_111_777),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 784_111_777),
        (None, None),
        ("", None),
        ("now", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("99999999999 Nov 2026 99:99:99 06", None),
    ],
)
def test_a_date_header(header: str | None, second: int | None) -> None:
    assert http_date(header) == second


@pytest.mark.parametrize("made", [Interval.of_second, Interval.of_millis])
def test_a_text_is_no_time_and_is_not_multiplied(made: Any) -> None:
    with pytest.raises(TypeError, match="the time is no number"):
        made("9" * 6000)


def test_a_clock_of_milliseconds() -> None:
    assert Interval.of_millis(1_800_000_000_123) == Interval(
        1_800_000_000_123_000, 1_800_000_000_123_999
    )


@pytest.mark.parametrize(
    ("text", "low", "width"),
    [
        ("2027-01-15T08:00:00Z", 1_800_000_000_000_000, 1_000_000),
        ("2027-01-15T08:00:00.1Z", 1_800_000_000_100_000, 100_000),
        ("2027-01-15T08:00:00.123Z", 1_800_000_000_123_000, 1000),
        ("2027-01-15 09:00:00.123+01:00", 1_800_000_000_123_000, 1000),
        ("2027-01-15t07:00:00,123-0100", 1_800_000_000_123_000, 1000),
        ("2027-01-15T08:00:00.123456z", 1_800_000_000_123_456, 1),
        ("2027-01-15T08:00:00.123456789Z", 1_800_000_000_123_456, 1),
        ("1969-12-31T23:59:59.5Z", -500_000, 100_000),
    ],
)
def test_a_time_in_iso_8601(text: str, low: int, width: int) -> None:
    assert Interval.of_iso(text) == Interval(low, low + width - 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2027-01-15",
        "2027-01-15T08:00Z",
        "2027-01-15T08:00:00",
        "2027-02-31T08:00:00Z",
        "2027-01-15T25:00:00Z",
        "0000-01-01T00:00:00Z",
        "2027-01-15T08:00:00.Z",
        "2027-01-15T08:00:00Z\n",
        "٢٠٢٧-01-15T08:00:00Z",
        "2027-01-15T08:00:00." + "1" * 5000 + "Z",
        "2027-01-15T08:00:00+99:99",
        None,
        1_800_000_000,
    ],
)
def test_a_text_that_is_no_time(text: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        Interval.of_iso(text)
    assert "2027" not in str(refused.value)
