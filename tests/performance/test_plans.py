"""Every page and list is planned for large tables: it reads a bounded part of them."""

import inspect
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from aiohttp import ClientSession
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.comparisons.console_pages import addresses
from benchmarks.large_database import Size, fill
from tests.support.flow import open_flow
from zenskar.api.server import serve
from zenskar.console.site_map import PAGES
from zenskar.db import expired_rows
from zenskar.db.driver.engine import in_transaction

SIZE = Size(customers=200, events=4000, entries=2, actions=200, runs=20)
LARGE = (
    *("customers", "external_mappings", "sync_events", "sync_event_history"),
    *("push_intents", "outbox", "operator_actions", "idempotency_keys"),
)
SMALL = {"push_intents_open"}
"""Indexes of few rows: the pushes without an answer."""
GROWTH = 10_000
MOST = 50_001
"""The most rows that a statement may read without a condition, or sort."""
# The planner multiplies the density of the rows by the present size of the file.
_GROW = """
    UPDATE pg_class SET reltuples = reltuples * $1
    WHERE oid IN (SELECT unnest($2::regclass[]) UNION
                  SELECT indexrelid FROM pg_index WHERE indrelid = ANY($2::regclass[]))
"""


async def grow(database: str) -> None:
    """Make the planner believe that the large tables have many times their rows."""
    connection = await asyncpg.connect(database)
    for table in LARGE:
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await fill(database, SIZE)
    await connection.execute(_GROW, GROWTH, list(LARGE))
    await connection.close()


_KEYS = """
    INSERT INTO idempotency_keys (scope, key, request_hash, entity_id, created_at)
    SELECT 'POST /customers', CAST(n AS text), '', gen_random_uuid(), now() - interval '1 hour' * n
    FROM generate_series(1, 3000) AS n
"""


class Statements:
    """The statements that an engine runs, by their text."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.seen: dict[str, Any] = {}
        event.listen(engine.sync_engine, "before_cursor_execute", self._note)

    def _note(self, _c: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            self.seen[statement] = values


async def planned(db: AsyncConnection, statement: str, values: Any) -> dict[str, Any]:
    found = await db.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values)
    plan = found.scalar_one()
    return (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]


def problems(plan: dict[str, Any], limit: float | None = None) -> Iterator[str]:
    """Yield the nodes of a plan that read or sort an unbounded part of a large table.

    `limit` is the number of rows after which the reading of a node ends, None without one.
    """
    kind, table = plan["Node Type"], plan.get("Relation Name")
    # A change is as large as what its parts find.
    if table in LARGE and kind != "ModifyTable" and not is_bounded(plan, limit):
        yield f"{kind} on {table}"
    if kind == "Sort" and plan["Plan Rows"] > MOST:
        yield f"Sort of {plan['Plan Rows']} rows"
    if kind == "Limit":
        limit = plan["Plan Rows"]
    elif kind in {"Sort", "Aggregate", "Unique"}:
        limit = None
    for part in plan.get("Plans", ()):
        yield from problems(part, limit)


def is_bounded(scan: dict[str, Any], limit: float | None) -> bool:
    if "Scan" not in scan["Node Type"] or scan["Node Type"] == "Seq Scan":
        return False
    # A row that the statement has found before.
    if scan["Node Type"] == "Tid Scan":
        return True
    if scan["Index Name"] in SMALL:
        return True
    condition, left_out = scan.get("Index Cond", ""), scan.get("Filter", "")
    ordered = scan["Index Name"].endswith("_pkey") and not re.search(r"\w+\)? = ", condition)
    if condition and not ordered:
        return True
    # In the order of the ids, a filter could leave out any number of rows. Most customers live.
    return limit is not None and limit <= MOST and left_out in {"", "(deleted_at IS NULL)"}


async def test_every_page_and_list_reads_a_bounded_part_of_the_tables(database_url: str) -> None:
    await grow(database_url)
    pages = await addresses(database_url)
    async with open_flow(database_url, "first", "second", working=False, auth="off") as flow:
        runtime = flow.runtime
        statements = Statements(runtime.engine)
        served = serve(runtime.api(), "127.0.0.1", 0, runtime.settings)
        async with served as address, ClientSession(address) as client:
            for path in pages.values():
                async with client.get(path) as response:
                    assert response.status == 200, (path, await response.text())
        seen = dict(statements.seen)
        assert len(seen) > 40
        async with runtime.engine.connect() as db:
            for statement, values in seen.items():
                plan = await planned(db, statement, values)
                found = list(problems(plan))
                assert found == [], f"{found}: {statement}"


async def test_old_idempotency_keys_are_found_by_their_age(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(_KEYS)
    await connection.execute("ANALYZE idempotency_keys")
    await connection.execute(_GROW, GROWTH, ["idempotency_keys"])
    await connection.close()
    async with open_flow(database_url, working=False) as flow:
        engine = flow.runtime.engine
        statements = Statements(engine)
        before = datetime.now(UTC) - timedelta(days=90)
        await in_transaction(
            engine, lambda c: expired_rows.forget(c, "idempotency_keys", before, expired_rows.FIRST)
        )
        ((statement, values),) = statements.seen.items()
        async with engine.connect() as db:
            plan = await planned(db, statement, values)
    assert "idempotency_keys_created" in str(plan)
    assert list(problems(plan)) == []


async def test_an_unbounded_plan_is_found(database_url: str) -> None:
    await grow(database_url)
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET enable_bitmapscan = off")
    for statement in (
        "SELECT count(*) FROM sync_events",
        "SELECT * FROM sync_events ORDER BY created_at LIMIT 10",
        "SELECT * FROM sync_events WHERE reason = 'x' ORDER BY id DESC LIMIT 10",
        "SELECT * FROM sync_events ORDER BY id DESC LIMIT 100000",
        "SELECT * FROM customers WHERE email = 'x' ORDER BY id LIMIT 10",
        "SELECT * FROM push_intents WHERE id = 'x' OR entity_id IS NULL",
    ):
        plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}"))
        assert list(problems(plan[0]["Plan"])), statement
    await connection.close()


def test_every_page_has_an_address() -> None:
    """A page that is missing in the addresses is neither measured nor checked here."""
    source = inspect.getsource(addresses)
    for page in PAGES:
        path = page.path.partition("{")[0]
        assert f'"{path}' in source, page.path
