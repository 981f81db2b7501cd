"""Both forms of `Retry-After`, and the codes of refusals."""

import time
from email.utils import formatdate

import pytest

from zenskar.http import retry_after

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2.0),
        (" 0 ", 0.0),
        ("0.5", 0.5),
        ("999999", 86_400.0),
        ("9" * 20, 86_400.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        (formatdate(NOW + 10**9, usegmt=True), 86_400.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("soon", None),
        ("9" * 5000, None),
        ("٣", None),
    ],
)
def test_the_seconds_to_wait(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


def test_a_date_without_the_clock_of_the_system_is_compared_with_ours() -> None:
    found = retry_after(formatdate(time.time() + 60, usegmt=True))
    assert found is not None
    assert 50 < found <= 61
