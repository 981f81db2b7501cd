"""The bus on PostgreSQL delivers at least once, in one place at a time."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.wait import until
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.bus.postgres.notifier import Notifier
from zenskar.db import outbox
from zenskar.db.driver.engine import in_transaction
from zenskar.db.outbox import OutboxMessage
from zenskar.model.envelope import OUTBOUND, Envelope


def message(number: int, key: str | None = None) -> OutboxMessage:
    envelope = Envelope(str(number), "test", "t", "s", "2026-01-01T00:00:00Z", {}, "c")
    return OutboxMessage(OUTBOUND, key or f"customer:{number}", "fake", envelope)


@asynccontextmanager
async def open_bus(engine: AsyncEngine, url: str, poll: float = 0.2) -> AsyncIterator[PostgresBus]:
    bus = PostgresBus(engine, Notifier(url), poll_seconds=poll, lease_seconds=60)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


@pytest.fixture
async def bus(engine: AsyncEngine, database_url: str) -> AsyncIterator[PostgresBus]:
    async with open_bus(engine, database_url) as bus:
        yield bus


async def receive(bus: PostgresBus, most: int = 10, *, exclusive: bool = True) -> list[str]:
    deliveries = await bus.receive(OUTBOUND, most, exclusive_keys=exclusive)
    return [delivery.key for delivery in deliveries]


async def test_messages_arrive_in_the_order_of_publishing(bus: PostgresBus) -> None:
    await bus.publish([message(n) for n in range(5)])
    assert await receive(bus) == [f"customer:{n}" for n in range(5)]


async def test_a_held_message_is_not_delivered_again(bus: PostgresBus) -> None:
    await bus.publish([message(1)])
    assert await receive(bus) == ["customer:1"]
    assert await receive(bus) == []


async def test_a_message_is_deleted_with_the_commit_of_its_transaction(
    bus: PostgresBus, engine: AsyncEngine
) -> None:
    await bus.publish([message(1)])
    taken = await bus.receive(OUTBOUND, 1, exclusive_keys=True)

    async def fail_after_ack(db: AsyncConnection) -> None:
        await bus.ack_in(db, taken)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_transaction(engine, fail_after_ack)
    assert await bus.depth() == {OUTBOUND: 1}
    await in_transaction(engine, lambda db: bus.ack_in(db, taken))
    bus.forget(taken)
    assert await bus.depth() == {}


async def test_a_parked_message_waits_and_counts_no_attempt(
    bus: PostgresBus, engine: AsyncEngine
) -> None:
    await bus.publish([message(1)])
    await bus.park(await bus.receive(OUTBOUND, 1, exclusive_keys=True))
    assert await receive(bus) == []
    async with engine.begin() as db:
        row = (await db.execute(text("SELECT attempts, parked FROM outbox"))).one()
        await db.execute(text("UPDATE outbox SET available_at = now()"))
    assert tuple(row) == (0, True)
    while not (again := await bus.receive(OUTBOUND, 1, exclusive_keys=True)):
        pass
    assert [delivery.attempts for delivery in again] == [1]


async def test_messages_of_a_key_are_delivered_one_after_another(bus: PostgresBus) -> None:
    await bus.publish([message(n, "customer:a") for n in range(3)])
    for number in range(3):
        (only,) = await bus.receive(OUTBOUND, 10, exclusive_keys=True)
        assert f'"id":"{number}"'.encode() in only.value
        await bus.ack([only])


async def test_a_waiting_receiver_is_woken_from_another_process(
    bus: PostgresBus, engine: AsyncEngine, database_url: str
) -> None:
    """The poll is far longer than the deadline, so only NOTIFY can bring the message in time."""
    async with open_bus(engine, database_url, poll=60) as other, asyncio.timeout(10):
        await other.publish([message(0)])
        await other.ack(await other.receive(OUTBOUND, 1, exclusive_keys=True))

        async def wait_for_it() -> str:
            while not (keys := await receive(other)):
                pass
            return keys[0]

        waiting = asyncio.create_task(wait_for_it())
        await asyncio.sleep(0)
        await bus.publish([message(7)])
        assert await waiting == "customer:7"


async def test_a_search_that_took_all_is_not_repeated_before_a_wake(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, claims = outbox.claim, 0

    async def counted_claim(*args: Any, **how: Any) -> list[outbox.ClaimedMessage]:
        nonlocal claims
        claims += 1
        return await claim(*args, **how)

    async with open_bus(engine, database_url, poll=60) as bus, asyncio.timeout(10):
        await bus.publish([message(0)])
        assert await receive(bus) == ["customer:0"]
        monkeypatch.setattr(outbox, "claim", counted_claim)
        waiting = asyncio.create_task(receive(bus))
        await until(lambda: asyncio.sleep(0, bus._notifier._has_receivers))
        await bus.publish([message(1)])
        assert await waiting == []
        assert await receive(bus) == ["customer:1"]
    assert claims == 1


@pytest.mark.parametrize("during", ["the search for the next due time", "the wait"])
async def test_the_next_message_of_a_key_follows_its_acknowledgement_at_once(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    monkeypatch.setattr("zenskar.bus.postgres.bus._BLOCKED_SECONDS", 60.0)
    search = outbox.seconds_to_next
    async with open_bus(engine, database_url, poll=60) as bus, asyncio.timeout(10):
        await bus.publish([message(n, "customer:a") for n in range(2)])
        first = await bus.receive(OUTBOUND, 10, exclusive_keys=True)

        async def search_and_ack(db: AsyncConnection, topic: str) -> float | None:
            seconds = await search(db, topic)
            if during == "the wait":
                asyncio.get_running_loop().call_later(0.05, bus.forget, first)
            else:
                bus.forget(first)
            return seconds

        assert await receive(bus) == []
        await in_transaction(engine, lambda db: bus.ack_in(db, first))
        monkeypatch.setattr(outbox, "seconds_to_next", search_and_ack)
        while not (second := await bus.receive(OUTBOUND, 10, exclusive_keys=True)):
            pass
        assert b'"id":"1"' in second[0].value


async def test_parked_messages_are_not_read_for_the_next_due_time(
    bus: PostgresBus, engine: AsyncEngine
) -> None:
    """A paused connection may have a million of them."""
    await bus.publish([message(n) for n in range(500)])
    await bus.park(await bus.receive(OUTBOUND, 500, exclusive_keys=True))
    async with engine.connect() as db:
        await db.execute(text("SET enable_seqscan = off"))
        search = outbox._NEXT_DUE.replace("$1", f"'{OUTBOUND}'")
        plan = "\n".join(await db.scalars(text(f"EXPLAIN ANALYZE {search}")))
        read = [float(found) for found in re.findall(r"rows=([0-9.]+) loops", plan)]
    assert max(read) <= 1


async def test_a_requeued_message_counts_no_attempt(bus: PostgresBus) -> None:
    """Far earlier than its claim runs out."""
    await bus.publish([message(1)])
    taken = await bus.receive(OUTBOUND, 1, exclusive_keys=True)
    await bus.requeue(taken)
    (again,) = await bus.receive(OUTBOUND, 1, exclusive_keys=True)
    assert (again.handle, again.attempts) == (taken[0].handle, 1)


async def test_a_late_requeue_releases_no_later_claim(bus: PostgresBus) -> None:
    """The first receiver ends after another one has claimed the message again."""
    await bus.publish([message(1)])
    first = await bus.receive(OUTBOUND, 1, exclusive_keys=True)
    await bus.nack(first, 0)
    while not (second := await bus.receive(OUTBOUND, 1, exclusive_keys=True)):
        pass
    assert second[0].handle == first[0].handle
    await bus.requeue(first)
    bus.forget(first)
    assert await receive(bus) == []
    await bus.requeue(second)
    assert await receive(bus) == ["customer:1"]


async def test_messages_requeued_during_a_receive_are_not_lost(
    bus: PostgresBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus.publish([message(1)])
    taken = await bus.receive(OUTBOUND, 1, exclusive_keys=True)
    claim = outbox.claim

    async def claim_and_meanwhile(*args: Any, **how: Any) -> list[outbox.ClaimedMessage]:
        claimed = await claim(*args, **how)
        await bus.requeue(taken)
        return claimed

    monkeypatch.setattr(outbox, "claim", claim_and_meanwhile)
    assert await receive(bus) == []
    monkeypatch.undo()
    assert await receive(bus) == ["customer:1"]
