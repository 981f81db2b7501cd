"""Rows of customers."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import customers
from zenskar.db.driver.engine import in_transaction
from zenskar.ids import new_id
from zenskar.model.fields import CUSTOMER

FIELDS = {"/name": "Ada", "/address": {"city": "Paris"}, "/metadata/plan": "pro"}


async def test_round_trip(engine: AsyncEngine) -> None:
    created = await in_transaction(engine, lambda c: customers.create(c, new_id(), FIELDS))
    found = await in_transaction(engine, lambda c: customers.read(c, created.id))
    assert found == created
    assert (created.version, created.record.fields, created.record.deleted) == (1, FIELDS, False)
    given = {"name": "Ada", "address": {"city": "Paris"}, "metadata": {"plan": "pro"}}
    assert created.document == dict.fromkeys(CUSTOMER.names) | given


async def test_only_the_current_version_is_updated(engine: AsyncEngine) -> None:
    created = await in_transaction(engine, lambda c: customers.create(c, new_id(), FIELDS))
    changed = {"/name": "Ada L"}
    async with engine.begin() as db:
        assert await customers.write(db, created.id, changed, version=2) is None
        written = await customers.write(db, created.id, changed, version=1)
        assert written
        assert (written.version, written.record.fields) == (2, changed)
        assert await customers.delete(db, created.id, version=1) is None
        deleted = await customers.delete(db, created.id, version=2)
        assert deleted
        assert deleted.record.deleted
        assert await customers.write(db, created.id, changed, version=3) is None


async def test_pages_omit_deleted_customers(engine: AsyncEngine) -> None:
    made = [
        await in_transaction(engine, lambda c: customers.create(c, new_id(), {"/email": "e@x.org"}))
        for _ in range(3)
    ]
    async with engine.begin() as db:
        await customers.delete(db, made[1].id, version=1)
        newest = await customers.page(db, most=5, before=None, email=None)
        older = await customers.page(db, most=5, before=made[2].id, email="e@x.org")
        other = await customers.page(db, most=5, before=None, email="E@x.org")
        every = await customers.read_many(db, [c.id for c in made])
    assert [c.id for c in newest] == [made[2].id, made[0].id]
    assert [c.id for c in older] == [made[0].id]
    assert other == []
    assert every.keys() == {c.id for c in made}


async def test_an_email_longer_than_an_index_row_is_stored_and_found(engine: AsyncEngine) -> None:
    long = "".join(chr(0x1F300 + n % 700) for n in range(4000)) + "@example.com"
    for email in (long, long + ".uk"):
        fields = {"/email": email}
        await in_transaction(engine, lambda c, f=fields: customers.create(c, new_id(), f))
    async with engine.connect() as db:
        found = await customers.page(db, most=5, before=None, email=long)
    assert [each.document["email"] for each in found] == [long]


async def test_a_search_by_email_uses_the_index(engine: AsyncEngine) -> None:
    async with engine.begin() as db:
        for number in range(300):
            await customers.create(db, new_id(), {"/email": f"{number}@example.com"})
    async with engine.connect() as db:
        await db.execute(text("SET enable_seqscan = off"))
        await db.execute(text("ANALYZE customers"))
        query = (
            "EXPLAIN SELECT * FROM customers WHERE deleted_at IS NULL"
            " AND left(email, 255) = '7@example.com' AND email = '7@example.com'"
            " ORDER BY id DESC LIMIT 5"
        )
        plan = "\n".join(await db.scalars(text(query)))
    assert "customers_email_start" in plan
