"""The due times of periodic jobs."""

import asyncio

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import schedules
from zenskar.db.driver.engine import connected, each_alone

JOB = "table_sizes"


async def take(engine: AsyncEngine) -> object:
    """Claim a run of a job that is due every minute."""
    return await each_alone(engine, lambda c: schedules.take(c, JOB, 60))


async def test_a_run_is_taken_when_it_is_due_with_the_state_of_the_last_run(
    engine: AsyncEngine,
) -> None:
    assert await take(engine) == {}
    assert await take(engine) is None
    await each_alone(engine, lambda c: schedules.hurry(c, JOB, {"at": 1}))
    assert await take(engine) == {"at": 1}
    assert await take(engine) is None


async def test_one_of_many_workers_takes_a_run(engine: AsyncEngine) -> None:
    """Whether the job is new or due again."""
    for _ in range(10):
        taken = await asyncio.gather(*(take(engine) for _ in range(5)))
        assert sorted(map(str, taken)) == ["None"] * 4 + ["{}"]
        await each_alone(engine, lambda c: schedules.hurry(c, JOB))
        taken = await asyncio.gather(*(take(engine) for _ in range(5)))
        assert sorted(map(str, taken)) == ["None"] * 4 + ["{}"]
        async with connected(engine) as db:
            await db.execute(text("DELETE FROM schedules"))


async def test_a_look_at_a_run_that_is_not_due_is_one_statement_and_writes_nothing(
    engine: AsyncEngine,
) -> None:
    sent: list[str] = []
    await take(engine)
    async with connected(engine) as db:
        row = text("SELECT xmin::text, xmax::text, due_at FROM schedules")
        before = (await db.execute(row)).one()
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *a: sent.append(a[2]))
        assert await schedules.take(db, JOB, 60) is None
        assert len(sent) == 1
        assert (await db.execute(row)).one() == before
