"""The growth of the tables."""

from datetime import UTC, datetime, timedelta

from tests.support.flow import Flow, open_flow
from zenskar.db import schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.ops.state import table_growth
from zenskar.ops.state.table_growth import TableSizeRecorder

NOW = datetime(2030, 1, 31, tzinfo=UTC)


async def record(flow: Flow, at: datetime) -> None:
    engine = flow.runtime.engine
    state = await in_transaction(engine, lambda c: schedules.state(c, TableSizeRecorder.NAME))
    await TableSizeRecorder(engine, now=lambda: at).run(state)


async def test_the_oldest_stored_sizes_give_the_growth_a_day(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        engine, name = flow.runtime.engine, TableSizeRecorder.NAME
        await in_transaction(engine, lambda c: schedules.take(c, name, 60.0))
        for days in range(20, -1, -1):
            await record(flow, NOW - timedelta(days=days))
        state = await in_transaction(engine, lambda c: schedules.state(c, name))
        assert [day["at"][:10] for day in state["days"]] == [f"2030-01-{d}" for d in range(24, 32)]
        then = state["days"][0]["bytes"]["customers"]
        present = {"customers": then + 7000, "made_today": 5}
        grown = await in_transaction(engine, lambda c: table_growth.growth(c, present, NOW))
    assert grown == {"customers": 1000.0}


async def test_sizes_of_this_morning_say_nothing(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        engine, name = flow.runtime.engine, TableSizeRecorder.NAME
        nothing = await in_transaction(engine, lambda c: table_growth.growth(c, {"customers": 1}))
        await in_transaction(engine, lambda c: schedules.take(c, name, 60.0))
        await record(flow, NOW - timedelta(hours=11))
        early = await in_transaction(
            engine, lambda c: table_growth.growth(c, {"customers": 1}, NOW)
        )
    assert (nothing, early) == ({}, {})
