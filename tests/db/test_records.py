"""Records are found by an equal e-mail address, in the index."""

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import records
from zenskar.db.driver.engine import connected, driver, transaction
from zenskar.ids import new_id
from zenskar.model.record import Record

LONG = "a" * 300


async def test_records_are_found_by_their_address_without_case_and_space(
    engine: AsyncEngine,
) -> None:
    addresses = ("Ada@x.org", "  ada@X.ORG ", "ada@y.org", None, "ADA@x.org", LONG, LONG + "b")
    ids = [new_id() for _ in addresses]
    made = [
        Record(i, {"/email": address} if address else {}, deleted=n == 4)
        for n, (i, address) in enumerate(zip(ids, addresses, strict=True))
    ]
    async with connected(engine) as db:
        await records.insert(db, "customer", made)
        found = await records.find_alike(
            db, "customer", "email", [" ada@x.org", "bob@x.org", LONG], most=9
        )
        one = await records.find_alike(db, "customer", "email", ["ada@x.org"], most=1)
    # The index holds the start of a long address; the kernel compares the rest.
    assert found == {" ada@x.org": sorted(ids[:2]), LONG: sorted(ids[5:])}
    assert one == {"ada@x.org": [min(ids[:2])]}


async def test_the_search_reads_the_index(engine: AsyncEngine) -> None:
    async with transaction(engine) as db:
        await driver(db).execute("SET LOCAL enable_seqscan = off")
        plan = await driver(db).fetch(f"EXPLAIN {records._ALIKE}", ["a", "b"], 3)
    assert any("customers_email_key" in row[0] for row in plan)
