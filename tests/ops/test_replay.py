"""Retry on request."""

import asyncio
from functools import partial
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.fake import FakeSystem, fake_connection
from zenskar.catalog.service import CustomerService
from zenskar.db import outbox
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_log, event_search, sync_events
from zenskar.db.events.event_log import EventFilter
from zenskar.db.events.sync_events import NewSyncEvent, Transition
from zenskar.db.outbox import OutboxRow
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.envelope import INBOUND, Envelope
from zenskar.model.sync_event import Direction, SyncStatus
from zenskar.ops import replay as replay_module
from zenskar.ops import retry_plan
from zenskar.ops.replay import Replay
from zenskar.ops.retry_plan import RetryPlan
from zenskar.plugins.router import PluginRouter
from zenskar.schema_catalog import core_schemas
from zenskar.sync.dead_letters import as_text
from zenskar.sync.quarantine import UNREADABLE

ME = Actor("me", "here")
ADA = {"name": "Ada", "email": "ada@example.com"}


class Bench:
    """A replay, and a way to make events that failed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.wakes: list[str] = []
        router = PluginRouter({"fake": fake_connection("fake", FakeSystem())})
        self.customers = CustomerService(engine, router, lambda _topic: None)
        self.replay = Replay(engine, self.wakes.append, core_schemas()["event"])
        self.discard = partial(self.replay.discard, operator=ME)
        self.retry = partial(self.replay.retry, operator=ME)

    async def rows(self, query: str) -> list[dict[str, Any]]:
        async with self.engine.connect() as db:
            return [dict(row) for row in (await db.execute(text(query))).mappings()]

    async def sent(self) -> list[dict[str, Any]]:
        found = await self.rows("SELECT * FROM outbox ORDER BY id")
        return [row | {"envelope": orjson.loads(row["envelope"])} for row in found]

    async def lose_messages(self) -> None:
        async with self.engine.begin() as db:
            await db.execute(text("DELETE FROM outbox"))

    async def set_status(self, event_id: str, status: SyncStatus) -> None:
        kind = None if status is SyncStatus.PENDING else "bug"
        transition = Transition(event_id, status, error_kind=kind, count_attempt=True)
        await in_transaction(self.engine, lambda c: sync_events.move(c, [transition]))

    async def outbound(self, status: SyncStatus = SyncStatus.DEAD) -> str:
        """Return the id of an outbound event whose message is gone."""
        await self.customers.create(ADA, correlation_id="c")
        event_id = (await self.events())[0].id
        await self.set_status(event_id, status)
        await self.lose_messages()
        return event_id

    async def inbound(self, status: SyncStatus = SyncStatus.DEAD, name: str = "A\0B") -> Envelope:
        """Return the envelope of an inbound event whose message is gone."""
        data = {
            "schema_version": 1,
            "direction": "inbound",
            "source_system": "fake",
            "external_event_id": new_id(),
            "event_type": "customer.updated",
            "occurred": [1, 2],
            "object": {
                "entity_type": "customer",
                "external_id": "obj_1",
                "document": {"name": name},
            },
        }
        envelope = Envelope(
            new_id(), "fake", "customer.updated", "fake:obj_1", "2026-01-01T00:00:00Z", data, "c"
        )
        event = NewSyncEvent(
            envelope.id,
            Direction.INBOUND,
            "fake",
            envelope.type,
            "c",
            external_event_id=data["external_event_id"],
            payload=orjson.dumps(envelope.to_json()),
        )
        await in_transaction(self.engine, lambda c: sync_events.insert(c, [event]))
        await self.set_status(event.id, status)
        return envelope

    async def events(self) -> list[event_log.LoggedEvent]:
        page = await in_transaction(
            self.engine, lambda c: event_search.page(c, EventFilter(), limit=1000)
        )
        return list(page.events)


@pytest.fixture
def bench(engine: AsyncEngine) -> Bench:
    return Bench(engine)


@pytest.mark.parametrize("status", [SyncStatus.DEAD, SyncStatus.RETRYING])
async def test_an_outbound_event_gets_its_message_again(bench: Bench, status: SyncStatus) -> None:
    event_id = await bench.outbound(status)
    assert await bench.retry(EventFilter()) == 1
    (message,) = await bench.sent()
    (event,) = await bench.events()
    envelope = message["envelope"]
    assert (message["topic"], message["key"]) == ("sync.outbound", f"customer:{event.entity_id}")
    assert (envelope["id"], envelope["correlationid"]) == (event_id, "c")
    assert envelope["data"]["document"] | ADA == envelope["data"]["document"]
    core_schemas()["event"].check(envelope)
    assert (event.status, event.attempts, event.error_kind) == ("pending", 0, None)
    history = await in_transaction(bench.engine, lambda c: event_log.history(c, event_id))
    audit = {"reason": "retry_requested", "by": "me", "from": "here"}
    assert (history[-1].status, history[-1].detail) == ("pending", audit)
    assert bench.wakes == ["sync.outbound"]


async def test_an_inbound_event_gets_its_stored_message_again(bench: Bench) -> None:
    original = await bench.inbound()
    assert await bench.retry(EventFilter(direction=Direction.INBOUND)) == 1
    (message,) = await bench.sent()
    assert (message["topic"], message["key"]) == ("sync.inbound", "fake:obj_1")
    assert Envelope.from_json(message["envelope"]) == original
    assert bench.wakes == ["sync.inbound"]


@pytest.mark.parametrize(
    "status",
    [SyncStatus.PENDING, SyncStatus.PROCESSING, SyncStatus.SUCCEEDED, SyncStatus.IGNORED],
)
async def test_other_events_are_left_alone(bench: Bench, status: SyncStatus) -> None:
    event_id = await bench.outbound(status)
    assert await bench.retry(EventFilter(ids=(event_id,))) == 0
    assert await bench.sent() == []
    assert (await bench.events())[0].status == status
    assert bench.wakes == []


async def test_a_message_that_still_waits_is_made_due(bench: Bench) -> None:
    envelope = await bench.inbound(SyncStatus.RETRYING)
    rows = [
        OutboxRow(INBOUND, "fake:obj_1", "fake", orjson.dumps(one.to_json()).decode(), delay=3600)
        for one in (envelope, await bench.inbound(name="x"))
    ]
    await in_transaction(bench.engine, lambda c: outbox.insert_rows(c, rows))
    assert await bench.retry(EventFilter(ids=(envelope.id,))) == 1
    due = await bench.rows("SELECT id, available_at <= now() AS due FROM outbox ORDER BY id")
    assert [row["due"] for row in due] == [True, False]


async def test_a_second_request_has_no_effect(bench: Bench) -> None:
    await bench.outbound()
    answers = await asyncio.gather(*(bench.retry(EventFilter()) for _ in range(4)))
    assert sorted(answers) == [0, 0, 0, 1]
    assert len(await bench.sent()) == 1


async def test_filters_choose(bench: Bench) -> None:
    await bench.outbound()
    await bench.inbound()
    for nothing in (
        EventFilter(source="other"),
        EventFilter(status=SyncStatus.RETRYING),
        EventFilter(customer_id=new_id()),
        EventFilter(reason="x"),
        EventFilter(ids=()),
    ):
        assert await bench.retry(nothing) == 0
    assert await bench.retry(EventFilter(source="fake", status=SyncStatus.DEAD)) == 2


async def test_all_batches_are_retried_in_their_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "_BATCH", 2)
    ids = [(await bench.inbound()).id for _ in range(5)]
    assert await bench.retry(EventFilter()) == 5
    assert [m["envelope"]["id"] for m in await bench.sent()] == ids


async def test_a_kill_between_batches_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "_BATCH", 2)
    ids = [(await bench.inbound()).id for _ in range(5)]
    batches = 0

    def die_at_the_second(_topic: str) -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Replay(bench.engine, die_at_the_second, core_schemas()["event"]).retry(
            EventFilter(), ME
        )
    assert await bench.retry(EventFilter()) == 1
    assert [m["envelope"]["id"] for m in await bench.sent()] == ids
    assert {event.status for event in await bench.events()} == {"pending"}


async def test_the_event_of_a_deleted_record_shows_no_document(bench: Bench) -> None:
    await bench.outbound()
    (event,) = await bench.events()
    assert event.entity_id
    await bench.customers.delete(event.entity_id, correlation_id="c")
    await bench.lose_messages()
    assert await bench.retry(EventFilter(ids=(event.id,))) == 1
    (message,) = await bench.sent()
    assert message["envelope"]["data"]["document"] is None
    core_schemas()["event"].check(message["envelope"])


async def test_an_event_without_what_it_needs_stays_dead(bench: Bench) -> None:
    event = NewSyncEvent(new_id(), Direction.INBOUND, "fake", "customer.updated", "c")
    await in_transaction(bench.engine, lambda c: sync_events.insert(c, [event]))
    await bench.set_status(event.id, SyncStatus.DEAD)
    assert await bench.retry(EventFilter()) == 0
    assert (await bench.events())[0].status == "dead"


async def test_a_discarded_event_is_ignored_and_says_who_did_that(bench: Bench) -> None:
    dead, retrying = await bench.outbound(), await bench.outbound(SyncStatus.RETRYING)
    assert await bench.discard(EventFilter()) == 1
    states = {event.id: (event.status, event.reason) for event in await bench.events()}
    assert states == {dead: ("ignored", "discarded"), retrying: ("retrying", None)}
    history = await in_transaction(bench.engine, lambda c: event_log.history(c, dead))
    assert [entry.status for entry in history] == ["pending", "dead", "ignored"]
    assert history[-1].detail == {"reason": "discarded", "by": "me", "from": "here"}
    assert await bench.discard(EventFilter()) == await bench.retry(EventFilter(ids=(dead,))) == 0
    assert await bench.sent() == []


@pytest.mark.parametrize("attribute", ["error_kind", "event_type"])
async def test_filters_on_what_went_wrong(bench: Bench, attribute: str) -> None:
    await bench.outbound()
    value = getattr((await bench.events())[0], attribute)
    assert await bench.replay.count(EventFilter(**{attribute: "other"})) == 0
    assert await bench.replay.count(EventFilter(**{attribute: value})) == 1


async def test_filters_by_age(bench: Bench) -> None:
    old, new = await bench.outbound(), await bench.outbound()
    async with bench.engine.begin() as db:
        await db.execute(
            text("UPDATE sync_events SET updated_at = now() - interval '2 h' WHERE id = :id"),
            {"id": old},
        )
    assert await bench.discard(EventFilter(older_than=3600.0)) == 1
    assert await bench.retry(EventFilter(newer_than=3600.0)) == 1
    assert {e.id: e.status for e in await bench.events()} == {old: "ignored", new: "pending"}


async def bury(bench: Bench, value: bytes) -> str:
    event = NewSyncEvent(
        new_id(), Direction.INBOUND, "fake", UNREADABLE, "c", payload=as_text(value).encode()
    )
    dead = Transition(event.id, SyncStatus.DEAD, reason=UNREADABLE)

    async def store_dead_event(db: AsyncConnection) -> None:
        await sync_events.insert(db, [event])
        await sync_events.move(db, [dead])

    await in_transaction(bench.engine, store_dead_event)
    return event.id


@pytest.mark.parametrize("value", [b"not JSON", b"{}", b"[1]", b"\xff\x00"])
async def test_what_cannot_be_read_stays_dead_and_holds_up_no_other(
    bench: Bench, value: bytes
) -> None:
    buried = await bury(bench, value)
    other = await bench.inbound()
    assert await bench.retry(EventFilter()) == 1
    assert [m["envelope"]["id"] for m in await bench.sent()] == [other.id]
    assert {e.id: e.status for e in await bench.events()}[buried] == "dead"


async def test_what_this_release_can_read_is_sent_on_once(bench: Bench) -> None:
    envelope = await bench.inbound(SyncStatus.SUCCEEDED)
    buried = await bury(bench, orjson.dumps(envelope.to_json()))
    assert await bench.retry(EventFilter()) == 1
    assert await bench.retry(EventFilter()) == 0
    (message,) = await bench.sent()
    assert Envelope.from_json(message["envelope"]) == envelope
    history = await in_transaction(bench.engine, lambda c: event_log.history(c, buried))
    assert (history[-1].status, history[-1].detail["message"]) == ("ignored", envelope.id)


async def test_a_plan_retries_exactly_the_dead_letters_that_are_as_they_were(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_plan, "_BATCH", 2)
    monkeypatch.setattr(replay_module, "_BATCH", 2)
    kept, again, thrown, lost = [(await bench.inbound()).id for _ in range(4)]
    unread = await bury(bench, b"not JSON")
    reread = await bury(
        bench, orjson.dumps((await bench.inbound(SyncStatus.SUCCEEDED, "Secret")).to_json())
    )
    outbound = await bench.outbound()
    wanted = EventFilter(status=SyncStatus.DEAD)
    plan = await retry_plan.plan_retry(bench.engine, bench.replay, wanted)
    assert [s.event_id for s in plan.steps] == [kept, again, thrown, lost, reread, outbound]
    assert plan.unreadable == (unread,)
    assert await bench.sent() == []
    body = orjson.dumps(plan.to_json())
    assert b"Secret" not in body
    plan = RetryPlan.from_json(orjson.loads(body))
    await bench.retry(EventFilter(ids=(again,)))
    await bench.set_status(again, SyncStatus.DEAD)
    await bench.discard(EventFilter(ids=(thrown,)))
    async with bench.engine.begin() as db:
        await db.execute(text("DELETE FROM sync_events WHERE id = :id"), {"id": lost})
    later = (await bench.inbound()).id
    await bench.lose_messages()
    result = await retry_plan.apply_retry(bench.engine, bench.replay, plan, ME)
    assert (result.steps, result.done, result.already_done) == (6, 3, 0)
    assert {each["event_id"]: each["why"] for each in result.skipped} == {
        again: "it was retried since, and is dead again",
        thrown: "it was discarded",
        lost: "it does not exist any more",
    }
    assert len(await bench.sent()) == 3
    states = {event.id: event.status for event in await bench.events()}
    assert (states[kept], states[again], states[later]) == ("pending", "dead", "dead")
    repeated = await retry_plan.apply_retry(bench.engine, bench.replay, plan, ME)
    assert (repeated.done, repeated.already_done, len(repeated.skipped)) == (0, 3, 3)
    assert len(await bench.sent()) == 3
