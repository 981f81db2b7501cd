"""A feed that cannot be continued ends in a comparison of both sides, and loses nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.salesforce.sides import BothSides, both_sides
from tests.support.wait import until
from zenskar.model.actor import Actor
from zenskar.ops import connections
from zenskar.ops.connections import ResumeRequest

DAY = 86_400.0
BEHIND = 3 * DAY
"""The age of a change that not even a first poll shows."""
POLLED = "SELECT state ->> 'checkpoint' FROM schedules WHERE name = 'poll:salesforce'"
LOSE = """
    UPDATE schedules SET state = jsonb_set(state, '{checkpoint}', '"lost"')
    WHERE name = 'poll:salesforce'
"""


@pytest.fixture
async def both(database_url: str) -> AsyncIterator[BothSides]:
    async with both_sides(database_url) as sides:
        yield sides


async def unseen_edit(both: BothSides) -> str:
    """Change a contact so that no poll shows the change; return the id of its record."""
    both.org.shift_clock(-BEHIND)
    record_id = await both.flow.create()
    await both.settle()
    both.org.shift_clock(0)
    await polled(both)
    both.org.org.commit({**both.contact(), "Phone": "+49 1"})
    await polled(both)
    await both.settle()
    assert (await both.flow.record(record_id))["phone"] is None
    return record_id


async def polled(both: BothSides) -> None:
    """Wait for two whole polls."""
    for _ in range(2):
        before = await both.flow.scalar(POLLED)
        both.org.shift_clock(both.org.clock.shift + 1)

        async def moved(before: Any = before) -> bool:
            return bool(await both.flow.scalar(POLLED) != before)

        await until(moved)


async def test_an_absence_of_30_days_ends_in_a_comparison(both: BothSides) -> None:
    record_id = await unseen_edit(both)
    both.org.shift_clock(30 * DAY)
    await both.field(record_id, "phone", "+49 1")


async def test_a_lost_position_ends_in_a_comparison(both: BothSides) -> None:
    record_id = await unseen_edit(both)
    async with both.flow.runtime.engine.begin() as db:
        await db.execute(text(LOSE))
    await both.field(record_id, "phone", "+49 1")


async def test_a_refreshed_org_is_compared_once_it_is_accepted(both: BothSides) -> None:
    record_id = await unseen_edit(both)
    both.org.refresh(2)
    paused = "SELECT count(*) = 1 FROM connections WHERE reason = 'other_account'"
    await both.flow.until_scalar(paused)
    assert (await both.flow.record(record_id))["phone"] is None

    runtime = both.flow.runtime
    request = ResumeRequest(accept_account=True)
    async with runtime.engine.begin() as db:
        await connections.resume(
            db, "salesforce", Actor("test", "a test"), request, runtime.context.broadcaster
        )
    await both.field(record_id, "phone", "+49 1")
    assert len(both.org.living) == 1
