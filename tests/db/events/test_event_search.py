"""The search of sync events: filters, totals and cursors, in a bounded number of rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_search
from zenskar.db.events.event_log import EventFilter
from zenskar.db.events.event_search import FoundEvents, LetterCount
from zenskar.model.sync_event import Direction, SyncStatus

_FILL = text("""
    INSERT INTO sync_events (id, direction, source_system, event_type, correlation_id, status,
                             error_kind, error_message, external_id, entity_type, entity_id)
    SELECT CAST('0198f7a4-0000-7000-8000-' || lpad(CAST(n AS text), 12, '0') AS uuid),
           CASE WHEN n % 2 = 0 THEN 'inbound' ELSE 'outbound' END,
           CASE WHEN n % 10 = 0 THEN 'rare' ELSE 'fake' END,
           'customer.updated', 'c' || n,
           CASE WHEN n % 5 = 0 THEN 'dead' ELSE 'succeeded' END,
           CASE WHEN n % 5 = 0 THEN 'rejected' END,
           CASE WHEN n % 5 = 0 THEN 'object obj_' || n || ' was 100%_refused' END,
           'obj_' || n, 'customer', CAST('0198f7a4-0000-7000-9000-000000000001' AS uuid)
    FROM generate_series(1, :count) AS n
""")


_LAST = "ffffffff-0000-7000-8000-ffffffffffff"


async def fill(engine: AsyncEngine, count: int) -> None:
    await in_transaction(engine, lambda c: c.execute(_FILL, {"count": count}))


async def search(engine: AsyncEngine, limit: int = 5, **wanted: Any) -> FoundEvents:
    before = wanted.pop("before", None)
    return await in_transaction(
        engine,
        lambda c: event_search.search(c, EventFilter(**wanted), limit=limit, before=before),
    )


def number(found: FoundEvents) -> list[int]:
    return [int(each.id[-12:]) for each in found.events]


async def test_pages_are_newest_first_and_their_total_is_that_of_the_filter(
    engine: AsyncEngine,
) -> None:
    await fill(engine, 40)
    first = await search(engine, limit=3, source="rare")
    assert (number(first), first.total, first.exact) == ([40, 30, 20], 4, True)
    second = await search(engine, limit=3, source="rare", before=first.last_id)
    assert (number(second), second.last_id, second.total) == ([10], None, 4)
    dead = await search(engine, status=SyncStatus.DEAD, direction=Direction.OUTBOUND)
    assert (number(dead), dead.total) == ([35, 25, 15, 5], 4)
    assert number(await search(engine, correlation_id="c7")) == [7]
    assert number(await search(engine, external_id="obj_9")) == [9]
    assert number(await search(engine, customer_id="0198f7a4-0000-7000-9000-000000000001", limit=1))


@pytest.mark.parametrize(
    ("error", "numbers"),
    [
        ("object … was 100%_refused", [20, 15, 10, 5]),
        ("object obj_15 was…", [15]),
        ("object%", []),
        ("object … was 100%xrefused", []),
        ("object … was 100…refused", [20, 15, 10, 5]),
    ],
)
async def test_a_text_has_gaps_and_no_other_wildcard(
    engine: AsyncEngine, error: str, numbers: list[int]
) -> None:
    await fill(engine, 20)
    assert number(await search(engine, error=error)) == numbers


async def test_the_time_of_an_id_bounds_a_search(engine: AsyncEngine) -> None:
    await fill(engine, 3)
    made = datetime.fromtimestamp(int("0198f7a40000", 16) / 1000, UTC)
    second = timedelta(seconds=1)
    assert number(await search(engine, since=made, until=made + second)) == [3, 2, 1]
    assert number(await search(engine, since=made + second)) == []
    assert number(await search(engine, until=made)) == []


async def test_a_search_reads_a_bounded_number_of_rows_and_goes_on(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(engine, 40)
    monkeypatch.setattr(event_search, "SCANNED", 15)
    first = await search(engine, source="rare")
    assert (number(first), first.total, first.exact) == ([40, 30], 2, False)
    second = await search(engine, source="rare", before=first.last_id)
    assert number(second) == [20]
    third = await search(engine, source="rare", before=second.last_id)
    assert (number(third), third.last_id) == ([10], None)
    monkeypatch.setattr(event_search, "COUNTED", 3)
    counted = await search(engine, limit=1)
    assert (counted.total, counted.exact) == (3, False)


async def test_dead_letters_are_counted_by_cause(engine: AsyncEngine) -> None:
    await fill(engine, 40)

    async def counts(**wanted: Any) -> list[LetterCount]:
        return list(
            await in_transaction(
                engine, lambda c: event_search.letter_counts(c, EventFilter(**wanted))
            )
        )

    assert len(await counts()) == 8
    (one,) = await counts(error="object obj_25 …")
    assert (one.source, one.direction, one.error_kind, one.count) == (
        "fake",
        "outbound",
        "rejected",
        1,
    )
    assert one.example.endswith("25")


async def test_every_search_is_planned_with_an_index_and_without_a_sort(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a large table, a search reads a small share of the rows.
    monkeypatch.setattr(event_search, "SCANNED", 500)
    monkeypatch.setattr(event_search, "COUNTED", 100)
    await fill(engine, 20_000)
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    async with engine.connect() as db:
        await db.exec_driver_sql("ANALYZE sync_events")
        event.listen(engine.sync_engine, "before_cursor_execute", note)
        for wanted in (
            EventFilter(),
            EventFilter(source="rare"),
            EventFilter(status=SyncStatus.DEAD, source="fake"),
            EventFilter(status=SyncStatus.SUCCEEDED, correlation_id="c1"),
        ):
            await event_search.search(db, wanted, limit=50, before=_LAST)
        event.remove(engine.sync_engine, "before_cursor_execute", note)
        assert len(statements) >= 12
        for statement, parameters in statements:
            plan = await db.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            lines = "\n".join(row[0] for row in plan)
            assert "Seq Scan" not in lines, lines
            assert "Sort" not in lines, lines
