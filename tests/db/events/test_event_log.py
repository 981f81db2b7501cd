"""Reading sync events."""

from collections.abc import Sequence

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_log, event_search, sync_events
from zenskar.db.events.event_log import EventFilter
from zenskar.db.events.sync_events import NewSyncEvent, Transition
from zenskar.ids import new_id
from zenskar.model.sync_event import Direction, SyncStatus

CUSTOMER = new_id()


@pytest.fixture
def events() -> list[NewSyncEvent]:
    return [
        NewSyncEvent(
            new_id(), Direction.OUTBOUND, "a", "customer.created", "c", "customer", CUSTOMER
        ),
        NewSyncEvent(new_id(), Direction.INBOUND, "a", "x.y", "c", payload=b'{"n": "\\u0000"}'),
        NewSyncEvent(
            new_id(), Direction.OUTBOUND, "b", "product.created", "c", "product", CUSTOMER
        ),
    ]


async def write(engine: AsyncEngine, events: Sequence[NewSyncEvent]) -> None:
    dead = Transition(events[0].id, SyncStatus.DEAD, "used_up", error_kind="transient")
    done = Transition(events[1].id, SyncStatus.SUCCEEDED)

    async with engine.begin() as db:
        await sync_events.insert(db, events)
        await sync_events.move(db, [dead, done])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EventFilter(), [2, 1, 0]),
        (EventFilter(status=SyncStatus.DEAD), [0]),
        (EventFilter(status=SyncStatus.SUCCEEDED), [1]),
        (EventFilter(source="a"), [1, 0]),
        (EventFilter(direction=Direction.OUTBOUND), [2, 0]),
        (EventFilter(customer_id=CUSTOMER), [0]),
        (EventFilter(reason="used_up"), [0]),
        (EventFilter(source="b", status=SyncStatus.DEAD), []),
        (EventFilter(source="a' OR '1'='1"), []),
    ],
)
async def test_filters(
    engine: AsyncEngine, events: list[NewSyncEvent], wanted: EventFilter, found: list[int]
) -> None:
    await write(engine, events)
    page = await in_transaction(engine, lambda c: event_search.page(c, wanted, limit=10))
    ids = [event.id for event in page.events]
    assert ids == sorted((events[i].id for i in found), reverse=True)


async def test_pages_by_key(engine: AsyncEngine, events: list[NewSyncEvent]) -> None:
    await write(engine, events)
    first = await in_transaction(engine, lambda c: event_search.page(c, EventFilter(), limit=2))
    rest = await in_transaction(
        engine, lambda c: event_search.page(c, EventFilter(), limit=2, before=first.last_id)
    )
    ids = [e.id for e in (*first.events, *rest.events)]
    assert ids == sorted((e.id for e in events), reverse=True)


async def test_an_event_with_history_and_payload(
    engine: AsyncEngine, events: list[NewSyncEvent]
) -> None:
    await write(engine, events)
    async with engine.connect() as db:
        found = await event_log.read(db, events[0].id)
        history = await event_log.history(db, events[0].id)
        assert await event_log.read(db, new_id()) is None
        assert await event_log.payload(db, events[1].id) == '{"n": "\\u0000"}'
        assert await event_log.payload(db, events[0].id) is None
    assert found
    assert (found.status, found.reason, found.error_kind) == ("dead", "used_up", "transient")
    assert [(e.status, e.detail) for e in history] == [
        ("pending", {}),
        ("dead", {"reason": "used_up", "error_kind": "transient"}),
    ]


async def test_the_search_for_dead_letters_uses_its_index(engine: AsyncEngine) -> None:
    async with engine.connect() as db:
        await db.execute(text("SET enable_seqscan = off"))
        plan = await db.execute(
            text(
                "EXPLAIN SELECT id FROM sync_events WHERE status = 'dead' ORDER BY id DESC LIMIT 5"
            )
        )
        assert "sync_events_unfinished" in "\n".join(row[0] for row in plan)
