"""Stored answers."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import idempotency
from zenskar.db.driver.engine import connected, driver, in_transaction
from zenskar.db.idempotency import Idempotency, IdempotencyKeyReused
from zenskar.errors import Unavailable
from zenskar.ids import new_id

ONCE = Idempotency("s", "k", b"h")


async def test_a_key_is_reserved_once_and_returns_its_answer(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        assert await idempotency.reserve(db, ONCE, new_id()) is None
        assert await idempotency.reserve(db, Idempotency("other", "k", b"x"), new_id()) is None
        with pytest.raises(Unavailable):
            await idempotency.reserve(db, ONCE, new_id())
        await idempotency.answer(db, ONCE, "{}")
        assert await idempotency.reserve(db, ONCE, new_id()) == "{}"
        with pytest.raises(IdempotencyKeyReused):
            await idempotency.reserve(db, Idempotency("s", "k", b"another"), new_id())


async def test_a_second_reservation_waits_for_the_first(engine: AsyncEngine) -> None:
    async with connected(engine) as db:
        first = driver(db).transaction()
        await first.start()
        await idempotency.reserve(db, ONCE, new_id())
        second = asyncio.create_task(
            in_transaction(engine, lambda c: idempotency.reserve(c, ONCE, new_id()))
        )
        done, _ = await asyncio.wait([second], timeout=0.1)
        assert not done
        await first.rollback()
    assert await second is None
