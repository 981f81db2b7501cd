"""Lists of sync events over more rows than one page reads."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.db.events.test_event_search import fill
from zenskar.db.events import event_search
from zenskar.db.events.event_log import EventFilter
from zenskar.ops import events


async def test_the_newest_events_are_collected_from_short_pages(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(engine, 40)
    monkeypatch.setattr(event_search, "SCANNED", 7)

    async def numbers(limit: int, before: str | None = None) -> list[int]:
        wanted = EventFilter(source="rare")
        found = await events.newest(engine, wanted, limit=limit, before=before)
        return [int(each.id[-12:]) for each in found]

    assert await numbers(50) == [40, 30, 20, 10]
    assert await numbers(3) == [40, 30, 20]
    assert await numbers(50, "0198f7a4-0000-7000-8000-000000000030") == [20, 10]
