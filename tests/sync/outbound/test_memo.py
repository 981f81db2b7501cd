"""The memo of an integration comes back with the next change of its object."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.support.fake import FakeError, FakeIntegration, FakeSystem
from tests.support.flow import Flow, open_flow
from zenskar import Change, ExternalObject, FailureKind, IntentKind, Push
from zenskar.model.actor import Actor
from zenskar.ops.erase import Eraser
from zenskar.plugins.discovery import Plugin


@dataclass
class PhoneBook(FakeSystem):
    """Keeps a phone number as an item with an id, and refuses changes of unknown items."""

    memo: Any = None
    """The memo of every object, in place of the item's id."""
    items: dict[str, int] = field(default_factory=dict)

    def edit(self, external_id: str, key: str | None = None, **values: Any) -> None:
        values.pop("item", None)
        if "phone" in values:
            self.items[external_id] = self.items.get(external_id, 0) + 1
        super().edit(external_id, key, **values, item=self.items.get(external_id, 0))

    def shown(self, external_id: str, data: Mapping[str, Any] | None) -> ExternalObject:
        seen = super().shown(external_id, data)
        memo = {"item": (data or {}).get("item", 0)} if self.memo is None else self.memo
        return replace(seen, memo=memo)

    def check(self, push: Push, known: Mapping[str, Any]) -> None:
        if "item" in push.body and push.body["item"] != known.get("item", 0):
            raise FakeError(FailureKind.REJECTED)


class PhoneBookIntegration(FakeIntegration):
    """Names the item of the phone number that a push changes."""

    seen_changes: list[Change]

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        self.seen_changes.append(change)
        body = dict(change.patch)
        if change.kind is IntentKind.UPDATE and "phone" in body and change.memo is not None:
            body["item"] = change.memo["item"]
        return body

    def _effect(self, push: Push) -> str:
        # An item with a new number is a new item.
        return super()._effect(replace(push, body={**push.body, "item": push.body.get("item")}))


def bound(system: PhoneBook) -> tuple[Plugin, list[Change]]:
    changes: list[Change] = []
    members = {"system": system, "seen_changes": changes}
    integration = type("BoundPhoneBook", (PhoneBookIntegration,), members)
    return Plugin("book", "test-book", "1", integration), changes


async def memo_of(flow: Flow, record_id: str) -> Any:
    return (await flow.mapping(record_id, "book"))["memo"]


async def edited(flow: Flow, record_id: str, **changes: Any) -> None:
    await flow.runtime.customers.patch(record_id, changes, correlation_id="test")
    await flow.settle()


async def deliver(flow: Flow, system: PhoneBook) -> None:
    while system.webhooks:
        await flow.runtime.ingress.accept("book", system.webhooks.pop(0), "test")
    await flow.settle()


async def test_a_memo_of_an_answer_and_of_a_webhook_comes_back(database_url: str) -> None:
    system = PhoneBook()
    plugin, changes = bound(system)
    async with open_flow(database_url, extra={"book": plugin}) as flow:
        record_id = await flow.create(phone="1")
        await flow.settle()
        assert await memo_of(flow, record_id) == {"item": 0}
        await edited(flow, record_id, phone="2")
        await edited(flow, record_id, phone="3")
        (external_id,) = system.objects
        system.webhooks.clear()
        system.edit(external_id, phone="4")
        system.shift(30)
        await deliver(flow, system)
        assert (await flow.record(record_id))["phone"] == "4"
        await edited(flow, record_id, phone="5")
        known = [change.memo for change in changes]
        assert known == [None, {"item": 0}, {"item": 1}, {"item": 3}]
        assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0


async def test_another_memo_in_the_same_second_is_looked_at(database_url: str) -> None:
    """The item was replaced, and its number is the same as before."""
    system = PhoneBook()
    plugin, changes = bound(system)
    async with open_flow(database_url, extra={"book": plugin}) as flow:
        record_id = await flow.create(phone="1")
        await flow.settle()
        system.webhooks.clear()
        (external_id,) = system.objects
        system.edit(external_id, phone="1")
        await deliver(flow, system)
        assert system.fetches == [external_id]
        assert await memo_of(flow, record_id) == {"item": 1}
        await edited(flow, record_id, phone="2")
        assert changes[-1].memo == {"item": 1}


async def test_a_memo_that_is_not_made_here_stays(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = PhoneBook()
    plugin, _ = bound(system)
    async with open_flow(database_url, extra={"book": plugin}) as flow:
        record_id = await flow.create(phone="1")
        await flow.settle()
        await deliver(flow, system)
        monkeypatch.setattr(PhoneBook, "shown", FakeSystem.shown)
        system.edit(next(iter(system.objects)), name="There")
        system.shift(30)
        await deliver(flow, system)
        assert (await flow.record(record_id))["name"] == "There"
        assert await memo_of(flow, record_id) == {"item": 0}


@pytest.mark.parametrize(
    ("memo", "problem"),
    [
        (["item"], "must be an object"),
        ({"item": object()}, "must be JSON"),
        ({1: "item"}, "must be JSON"),
        ({"item": "x" * 4096}, "must have at most 4096 bytes as JSON"),
    ],
)
async def test_a_memo_that_cannot_be_stored_is_refused(
    database_url: str, memo: Any, problem: str
) -> None:
    system = PhoneBook(memo=memo)
    plugin, _ = bound(system)
    settings = {"retry_max_attempts": 1}
    async with open_flow(database_url, extra={"book": plugin}, **settings) as flow:
        system.create(name="There")
        assert await flow.runtime.ingress.accept("book", system.webhooks.pop(), "test") == (0, 1)
        await flow.create()
        await flow.settle()
        events = await flow.rows("SELECT * FROM sync_events WHERE source_system = 'book'")
        assert {event["direction"] for event in events} == {"inbound", "outbound"}
        for event in events:
            assert event["status"] == "dead"
            assert f"/memo: {problem}" in event["error_message"]


async def test_a_memo_is_stored_as_json_and_erased(database_url: str) -> None:
    system = PhoneBook(memo={"items": ("a\0", 1.5, None), "z": 1, "a": {}})
    plugin, _ = bound(system)
    async with open_flow(database_url, extra={"book": plugin}) as flow:
        record_id = await flow.create()
        await flow.settle()
        stored = {"items": ["a\ufffd", 1.5, None], "z": 1, "a": {}}
        assert await memo_of(flow, record_id) == stored
        await deliver(flow, system)
        assert system.fetches == []
        runtime = flow.runtime
        eraser = Eraser(runtime.engine, tuple(runtime.connections), runtime.bus.wake)
        await eraser.erase(record_id, Actor("ops", "here"))
        await flow.settle()
        system.edit(next(iter(system.objects)), name="There")
        system.shift(30)
        await deliver(flow, system)
        assert await memo_of(flow, record_id) is None
