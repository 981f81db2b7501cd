"""The texts of places."""

import pytest

from zenskar.errors import InvalidInput
from zenskar.ops.state.message_place import LogPlace, OutboxPlace, parse_place


@pytest.mark.parametrize(
    "place", [OutboxPlace(17), LogPlace("sync.inbound", 3), LogPlace("sync.inbound", 3, 120)]
)
def test_a_place_is_read_from_its_text(place: OutboxPlace | LogPlace) -> None:
    assert parse_place(str(place)) == place


@pytest.mark.parametrize("text", ["", "17", "outbox/x", "outbox/1/2/3", "a b/1", "t/1/-1", "t/٣"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="a place is"):
        parse_place(text)
