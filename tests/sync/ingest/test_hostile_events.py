"""Values of an external system are facts: no value stops the pushes of its customer."""

from typing import Any

import pytest

from tests.support.fake import FakeSystem
from tests.support.flow import open_flow
from zenskar import ExternalObject, IntentKind

HOSTILE = {
    "long": {"name": "n" * 5000, "address": {"line1": "l" * 3000}},
    "NUL": {"name": "a\0b", "metadata": {"a\0": "\0"}, "unread": "\0"},
    "half a pair": {"name": "a\ud800", "metadata": {"\udfff": "b"}, "unread": ["\udfff"]},
    "huge number in what is not read": {"name": "Ada", "unread": 10**40},
}


@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
async def test_a_change_here_is_pushed_and_nothing_else_is(
    database_url: str, values: dict[str, Any]
) -> None:
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]
        external_id = system.create(**values)
        await flow.deliver()
        record_id = str(await flow.scalar("SELECT id FROM customers"))
        before = await flow.record(record_id)
        await flow.runtime.customers.patch(record_id, {"phone": "1"}, correlation_id="t")
        await flow.settle()
        assert {event["status"] for event in await flow.events("outbound")} == {"succeeded"}
        (push,) = system.calls
        assert (push.kind, dict(push.body)) == (IntentKind.UPDATE, {"phone": "1"})
        await flow.deliver()
        assert len(system.calls) == 1
        assert await flow.record(record_id) | {"phone": None, "version": 1} == before | {
            "updated_at": (await flow.record(record_id))["updated_at"]
        }
        held = system.objects[external_id]
        assert held is not None
        assert held["name"] == values["name"]


async def test_an_answer_whose_id_cannot_be_kept_is_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(_: FakeSystem, external_id: str, data: dict[str, Any] | None) -> ExternalObject:
        return ExternalObject("customer", external_id + "\0", data)

    monkeypatch.setattr(FakeSystem, "shown", seen)
    async with open_flow(database_url, retry_max_attempts=1) as flow:
        record_id = await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert (event["status"], str(event["entity_id"])) == ("dead", record_id)
        assert "/external_id: has characters that cannot be stored" in event["error_message"]
