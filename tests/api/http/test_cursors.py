"""Opaque cursors."""

import pytest

from zenskar.api.http import cursors
from zenskar.errors import InvalidInput
from zenskar.ids import new_id


def test_round_trip() -> None:
    for _ in range(50):
        last_id = new_id()
        cursor = cursors.encode(last_id)
        assert cursor
        assert cursor.replace("-", "").replace("_", "").isalnum()
        assert cursors.decode(cursor) == last_id


def test_the_last_page_has_none() -> None:
    assert cursors.encode(None) is None
    assert cursors.decode(None) is None


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "é", "!" * 22, "A" * 23, "A" * 10_000, "\0"])
def test_malformed(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        cursors.decode(cursor)
