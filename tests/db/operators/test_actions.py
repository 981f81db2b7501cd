"""The table of the actions of operators: pages, filters, and its retention."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.db import expired_rows
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators import actions
from zenskar.db.operators.actions import ActionFilter
from zenskar.ids import new_id

OLD = "00000000-0001-7000-8000-000000000000"


def action(action_id: str, **values: Any) -> dict[str, Any]:
    given = {"by": "Ada", "place": "here", "action": "pause", "target": "fake", "state": "done"}
    return {"id": action_id, "request": {}, "result": {}, **given, **values}


async def test_an_action_is_inserted_once_and_ends(engine: AsyncEngine) -> None:
    begun = action(new_id(), state="begun")
    await in_transaction(engine, lambda c: actions.save(c, begun, ended=False))
    ended = begun | {"state": "done", "result": {"events": 3}, "by": "somebody else"}
    await in_transaction(engine, lambda c: actions.save(c, ended, ended=True))
    (found,) = await in_transaction(engine, lambda c: actions.page(c, ActionFilter(), most=5))
    assert (found.by, found.state, found.result) == ("Ada", "done", {"events": 3})
    assert found.ended_at is not None


async def test_old_actions_are_forgotten(engine: AsyncEngine) -> None:
    kept = new_id()
    for each in (OLD, kept):
        await in_transaction(engine, lambda c, i=each: actions.save(c, action(i), ended=True))
    before = datetime(2026, 1, 1, tzinfo=UTC)
    piece = await in_transaction(
        engine, lambda c: expired_rows.forget(c, "audit", before, expired_rows.FIRST)
    )
    assert piece.rows == 1
    found = await in_transaction(engine, lambda c: actions.page(c, ActionFilter(), most=5))
    assert [each.id for each in found] == [kept]


async def test_a_page_of_many_actions_is_found_by_an_index(engine: AsyncEngine) -> None:
    async with engine.connect() as db:
        await db.execute(
            text(
                "INSERT INTO operator_actions (id, by, place, action, target, state)"
                " SELECT gen_random_uuid(), 'Ada', 'here', 'retry', 'fake', 'done'"
                " FROM generate_series(1, 20000)"
            )
        )
        await db.execute(text("ANALYZE operator_actions"))
        for where in ("true", "target = 'other'", "action = 'pause'"):
            plan = await db.execute(
                text(
                    f"EXPLAIN SELECT * FROM operator_actions WHERE {where}"
                    " ORDER BY id DESC LIMIT 51"
                )
            )
            lines = [row[0] for row in plan]
            assert not any("Seq Scan" in line or "Sort" in line for line in lines), lines
