"""Messages from the bus are decoded, or refused with the reason."""

from typing import Any

import orjson
import pytest

from zenskar import ExternalObject, Interval, WebhookEvent
from zenskar.model.envelope import MERGED_VERSION, SCHEMA_VERSION, WRITTEN_VERSION
from zenskar.model.fields import CUSTOMER
from zenskar.model.timestamps import utc_now
from zenskar.schema_catalog import core_schemas
from zenskar.sync.message_decoder import UnreadableMessage, observation, read_envelope
from zenskar.sync.message_encoder import MessageOrigin, inbound_message


def outbound(version: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "019a0000-0000-7000-8000-000000000001",
        "source": "zenskar",
        "type": "customer.deleted",
        "subject": "customer:019a0000-0000-7000-8000-000000000002",
        "time": "2026-11-22T10:00:00+00:00",
        "datacontenttype": "application/json",
        "correlationid": "019a0000-0000-7000-8000-000000000003",
        "data": {
            "schema_version": version,
            "direction": "outbound",
            "source_system": "stripe",
            "entity_type": "customer",
            "entity_id": "019a0000-0000-7000-8000-000000000002",
            "record_version": 2,
            "document": None,
        },
    }


def test_the_layout_of_this_release_is_read() -> None:
    envelope = read_envelope(orjson.dumps(outbound(SCHEMA_VERSION)), core_schemas()["event"])
    assert envelope.data["record_version"] == 2


def test_a_newer_layout_is_named() -> None:
    with pytest.raises(UnreadableMessage, match=f"layout {SCHEMA_VERSION + 1}"):
        read_envelope(orjson.dumps(outbound(SCHEMA_VERSION + 1)), core_schemas()["event"])


@pytest.mark.parametrize("value", [b"", b"\xff", b"{" * 5000, b"[]", b'{"specversion": "1.0"}'])
def test_what_is_no_envelope_is_named(value: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        read_envelope(value, core_schemas()["event"])


@pytest.mark.parametrize(
    ("end", "layout"),
    [
        ({}, WRITTEN_VERSION),
        ({"merged_into": "x2"}, MERGED_VERSION),
        ({"purged": True}, MERGED_VERSION),
    ],
)
def test_an_older_release_takes_no_other_end_for_a_delete(end: dict[str, Any], layout: int) -> None:
    second = Interval.of_second(10)
    seen = ExternalObject("customer", "x1", None, **end)
    event = WebhookEvent("evt_1", "ended", second, seen)
    message = inbound_message("fake", event, None, "test", MessageOrigin(utc_now(), second))
    envelope = read_envelope(message.text or b"", core_schemas()["event"])
    assert envelope.data["schema_version"] == layout
    shown = observation(CUSTOMER, envelope.data)
    assert (shown.deleted, shown.merged_into, shown.purged) == (
        True,
        end.get("merged_into"),
        end.get("purged", False),
    )
