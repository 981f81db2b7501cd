"""The counts of unfinished events: by connection and status, in a bounded number of rows."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_counts
from zenskar.db.events.event_counts import Backlog, EventCount

_FILL = text("""
    INSERT INTO sync_events (id, direction, source_system, event_type, correlation_id, status,
                             error_kind, created_at)
    SELECT CAST('0198f7a4-0000-7000-8000-' || lpad(CAST(n AS text), 12, '0') AS uuid),
           CASE WHEN status = 'dead' THEN 'outbound' ELSE 'inbound' END, source, 'customer.updated',
           'c', status, error_kind, now() - make_interval(secs => 100 - n)
    FROM unnest(CAST(:sources AS text[]), CAST(:statuses AS text[]), CAST(:kinds AS text[]))
         WITH ORDINALITY AS event(source, status, error_kind, n)
""")
EVENTS = [
    ("a", "dead", "rejected"),
    ("a", "succeeded", None),
    ("a", "pending", None),
    ("b", "pending", None),
    ("b", "pending", None),
    ("a", "ignored", None),
    ("b", "retrying", "transient"),
]


async def counts(engine: AsyncEngine) -> list[EventCount]:
    names = ("sources", "statuses", "kinds")
    values = dict(zip(names, map(list, zip(*EVENTS, strict=True)), strict=True))

    async def load(db: AsyncConnection) -> list[EventCount]:
        await db.execute(_FILL, values)
        return await event_counts.unfinished(db)

    return await in_transaction(engine, load)


async def test_finished_events_do_not_count(engine: AsyncEngine) -> None:
    found = await counts(engine)
    assert {(e.source, e.direction, e.status, e.error_kind): e.count for e in found} == {
        ("a", "outbound", "dead", "rejected"): 1,
        ("a", "inbound", "pending", ""): 1,
        ("b", "inbound", "pending", ""): 2,
        ("b", "inbound", "retrying", "transient"): 1,
    }
    assert event_counts.backlogs(found) == {
        "a": Backlog(1, 97.0, 1, exact=True),
        "b": Backlog(3, 96.0, 0, exact=True),
    }


async def test_the_oldest_events_of_a_status_are_counted(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_counts, "COUNTED", 2)
    found = await counts(engine)
    assert {(e.source, e.status): (e.count, e.exact) for e in found} == {
        ("a", "dead"): (1, True),
        ("a", "pending"): (1, False),
        ("b", "pending"): (1, False),
        ("b", "retrying"): (1, True),
    }
    # The events of a connection may be among those that are not counted.
    backlogs = event_counts.backlogs(found, ["b", "c"])
    assert not any(backlog.exact for backlog in backlogs.values())
    assert set(backlogs) == {"a", "b", "c"}
