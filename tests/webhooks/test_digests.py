"""Ids of events that have none."""

from typing import Any

import pytest

from zenskar.webhooks import event_digest

EVENT = {"objectId": 1, "property": {"name": "phone", "value": "1"}, "attempt": 0}


def test_each_delivery_has_the_same_id() -> None:
    again = {"attempt": 1, "property": {"value": "1", "name": "phone"}, "objectId": 1}
    assert event_digest(EVENT, without=("attempt",)) == event_digest(again, without=("attempt",))
    assert event_digest(EVENT) != event_digest(again)


@pytest.mark.parametrize(
    "other", [{"objectId": 2}, {"property": {}}, {"more": None}, {"objectId": "1"}]
)
def test_other_content_has_another_id(other: dict[str, Any]) -> None:
    assert event_digest(EVENT | other) != event_digest(EVENT)


@pytest.mark.parametrize("event", [None, [], "x", 1, {"a": "\udcff\0é"}, {"big": 10**40}])
def test_every_event_has_an_id(event: Any) -> None:
    assert len(event_digest(event)) == 64
    assert event_digest(event, without=("x",)) == event_digest(event)
