"""The statements of the queue stay cheap when the queue was empty at its last analysis."""

from typing import Any

from asyncpg import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import outbox
from zenskar.db.driver.engine import by_keys, connected, driver, in_transaction
from zenskar.db.outbox import OutboxMessage
from zenskar.model.envelope import INBOUND, Envelope

COUNT, BATCH = 3000, 300
# A page for each row that is claimed, its index entries, and the new version.
MOST_PAGES = 20 * BATCH


def message(number: int) -> OutboxMessage:
    envelope = Envelope(str(number), "test", "t", "s", "2026-01-01T00:00:00Z", {}, "c")
    return OutboxMessage(INBOUND, f"fake:{number}", "fake", envelope)


async def fill(engine: AsyncEngine) -> None:
    """Fill a queue that PostgreSQL believes to be empty, as it is after a vacuum at the end."""
    async with connected(engine) as db:
        await outbox.insert(db, [message(number) for number in range(COUNT)])
        await driver(db).execute(
            "UPDATE pg_class SET reltuples = 0, relpages = 500 WHERE relname = 'outbox'"
        )


async def effort(connection: Connection, statement: str, *values: Any) -> tuple[int, int]:
    """Return the number of pages that a statement read, and of rows that it discarded."""
    text = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    plan = (await connection.fetchval(text, *values))[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], discarded(plan)


def discarded(plan: dict[str, Any]) -> int:
    own = sum(
        plan.get(f"Rows Removed by {why}", 0) * plan["Actual Loops"]
        for why in ("Filter", "Join Filter", "Index Recheck")
    )
    return own + sum(discarded(part) for part in plan.get("Plans", ()))


async def test_a_claim_reads_only_claimed_rows(engine: AsyncEngine) -> None:
    await fill(engine)
    async with connected(engine) as db:
        values = (INBOUND, "me", BATCH, 60.0, False)
        pages, rows = await effort(driver(db), outbox._CLAIM, *values)
    assert pages < MOST_PAGES
    assert rows == 0


async def test_an_acknowledged_message_is_found_by_its_id(engine: AsyncEngine) -> None:
    await fill(engine)

    async def finish(connection: Any) -> None:
        claimed = await outbox.claim(
            connection, INBOUND, claimer="me", most=BATCH, lease_seconds=60, by_key=False
        )
        ids = [message.id for message in claimed]
        pages, rows = await effort(driver(connection), outbox._DONE, ids, "me")
        assert pages < MOST_PAGES
        assert rows == 0

    await by_keys(engine, finish)
    await in_transaction(engine, finish)


async def test_only_its_own_index_holds_the_id(engine: AsyncEngine) -> None:
    """With another index to choose, PostgreSQL read the whole index for each id."""
    async with connected(engine) as db:
        found = await driver(db).fetch(
            "SELECT i.indexrelid::regclass::text AS name FROM pg_index AS i"
            " JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
            " WHERE i.indrelid = 'outbox'::regclass AND a.attname = 'id'"
        )
    assert [row["name"] for row in found] == ["outbox_pkey"]
