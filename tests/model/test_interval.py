"""The times that external systems report."""

import pytest

from zenskar.model.interval import http_date


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
