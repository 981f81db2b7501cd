"""Stored answers."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import idempotency
from zenskar.db.driver.engine import connected, driver, in_transaction
from zenskar.ids import new_id


async def test_a_key_is_reserved_once_and_returns_its_answer(engine: AsyncEngine) -> None:
    entity_id = new_id()
    async with engine.begin() as db:
        assert await idempotency.reserve(db, "s", "k", b"h", entity_id)
        assert not await idempotency.reserve(db, "s", "k", b"h", new_id())
        assert await idempotency.reserve(db, "other", "k", b"h", new_id())
        await idempotency.answer(db, "s", "k", "{}")
        found = await idempotency.read(db, "s", "k")
        assert await idempotency.read(db, "s", "x") is None
    assert found == idempotency.StoredAnswer(b"h", entity_id, "{}")


async def test_a_second_reservation_waits_for_the_first(engine: AsyncEngine) -> None:
    async with connected(engine) as db:
        first = driver(db).transaction()
        await first.start()
        await idempotency.reserve(db, "s", "k", b"h", new_id())
        second = asyncio.create_task(
            in_transaction(engine, lambda c: idempotency.reserve(c, "s", "k", b"h", new_id()))
        )
        done, _ = await asyncio.wait([second], timeout=0.1)
        assert not done
        await first.rollback()
    assert await second
