"""The sync events of the last hour."""

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import sync_events
from zenskar.db.events.sync_events import NewSyncEvent
from zenskar.ids import new_id
from zenskar.model.sync_event import Direction
from zenskar.ops.state import activity


async def test_events_are_counted_by_minute_and_direction(engine: AsyncEngine) -> None:
    ways = (Direction.INBOUND, Direction.INBOUND, Direction.OUTBOUND)
    events = [NewSyncEvent(new_id(), way, "fake", "customer.created", "c") for way in ways]
    async with engine.begin() as db:
        await sync_events.insert(db, events)
    hour = await in_transaction(engine, activity.last_hour)
    assert (hour.total, hour.complete) == (3, True)
    assert sum(hour.counts[Direction.INBOUND]) == 2
    assert len(hour.counts[Direction.OUTBOUND]) == activity.MINUTES
    assert set(hour.last) == {("fake", "inbound"), ("fake", "outbound")}
