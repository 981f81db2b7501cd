"""Pages of the tables of operators, newest first."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.db.operators.test_actions import action
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators import actions, runs
from zenskar.db.operators.actions import ActionFilter
from zenskar.db.operators.runs import RunFilter
from zenskar.ids import bound

DAYS = [datetime(2030, 1, day, tzinfo=UTC) for day in (1, 2, 3)]


async def test_times_target_and_a_place_to_read_on_from(engine: AsyncEngine) -> None:
    ids = [bound(day) for day in DAYS]
    for each in ids:
        await in_transaction(engine, lambda c, i=each: actions.save(c, action(i), ended=True))

    async def found(before: str | None = None, **wanted: object) -> list[str]:
        chosen = ActionFilter(**wanted)  # type: ignore[arg-type]
        rows = await in_transaction(
            engine, lambda c: actions.page(c, chosen, most=5, before=before)
        )
        return [row.id for row in rows]

    assert await found() == ids[::-1]
    assert await found(since=DAYS[1]) == ids[:0:-1]
    assert await found(until=DAYS[1]) == ids[:1]
    assert await found(since=DAYS[1], until=DAYS[2], target="fake") == ids[1:2]
    assert await found(target="other") == []
    assert await found(before=ids[2]) == ids[1::-1]


async def test_runs_have_the_same_filters(engine: AsyncEngine) -> None:
    for number, day in enumerate(DAYS):
        values = {
            "id": bound(day),
            "kind": "compare",
            "source_system": f"fake{number}",
            "entity_type": "customer",
            "by": "Ada",
            "place": "here",
        }
        assert await in_transaction(engine, lambda c, v=values: runs.add(c, v))
    wanted = RunFilter(kind="compare", since=DAYS[1])
    rows = await in_transaction(engine, lambda c: runs.page(c, wanted, most=5))
    assert [row.source_system for row in rows] == ["fake2", "fake1"]
