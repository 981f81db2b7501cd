"""Edits of persons and admins in an org reach the catalog once, and delete nothing by mistake."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.e2e.salesforce.sides import COMPOSITE, BothSides, both_sides
from tests.support.wait import until
from zenskar.http.lookalike import Fault, FaultKind

POLLED = "SELECT CAST(due_at AS text) FROM schedules WHERE name = 'poll:salesforce'"
DEAD = "SELECT count(*) FROM sync_events WHERE status = 'dead'"
LIVING = "SELECT count(*) FROM customers WHERE deleted_at IS NULL"


@pytest.fixture
async def both(database_url: str) -> AsyncIterator[BothSides]:
    async with both_sides(database_url, ZENSKAR_DELETE_GUARD_LIMIT="5") as sides:
        yield sides


async def polled(both: BothSides) -> None:
    """Wait until the feed was read from its beginning to its end."""
    for _ in range(2):
        before = await both.flow.scalar(POLLED)

        async def moved(before: Any = before) -> bool:
            return bool(await both.flow.scalar(POLLED) != before)

        await until(moved)
    await both.settle()


async def test_an_edit_and_its_undo_in_one_second_end_in_the_last_state(both: BothSides) -> None:
    record_id = await both.flow.create(phone="+44 1")
    await both.settle()
    identifier = both.contact()["Id"]
    both.org.shift_clock(2)
    both.org.edit(identifier, Phone="+44 2")
    await both.field(record_id, "phone", "+44 2")
    both.org.org.commit({**both.contact(), "Phone": "+44 1"})
    await both.field(record_id, "phone", "+44 1")
    await polled(both)
    assert (both.contact()["Phone"], both.org.writes()) == ("+44 1", ["POST"])


async def test_a_busy_person_costs_a_bounded_number_of_calls(both: BothSides) -> None:
    record_id = await both.flow.create()
    await both.settle()
    stale = Fault(kind=FaultKind.REFUSE, status=412, path_prefix=COMPOSITE, count=2)
    both.org.faults.add(stale)
    await both.patch(record_id, phone="+44 20")
    await polled(both)
    assert both.contact()["Phone"] == "+44 20"
    assert both.org.writes() == ["POST", "PATCH", "PATCH", "PATCH"]


async def test_no_right_to_any_contact_deletes_no_customer(both: BothSides) -> None:
    for number in range(8):
        await both.flow.create(name=f"n{number}")
    await both.settle()
    both.org.org.rights.invisible |= {row["Id"] for row in both.org.living}
    reconciler = both.flow.runtime.operations().reconciler(settle_seconds=0)
    report = await reconciler.run("salesforce", "customer", repair=True)
    await polled(both)
    assert await both.flow.scalar(LIVING) == 8
    assert both.creates() == 8, report


async def test_a_delete_that_is_undone_before_the_next_poll_has_no_effect(both: BothSides) -> None:
    record_id = await both.flow.create()
    await both.settle()
    org, identifier = both.org.org, both.contact()["Id"]
    both.org.shift_clock(2)
    org.delete(identifier, org.person)
    org.undelete(identifier, org.person)
    both.org.edit(identifier, Phone="+49 1")
    await both.field(record_id, "phone", "+49 1")
    await polled(both)
    record = await both.flow.record(record_id)
    assert (record["deleted_at"], both.org.writes()) == (None, ["POST"])


async def test_a_merge_that_moves_our_id_and_a_restored_loser_delete_nothing(
    both: BothSides,
) -> None:
    first, second = await both.flow.create(name="Ada"), await both.flow.create(name="Eve")
    await both.settle()
    ids, org = {row["Zenskar_Id__c"]: row["Id"] for row in both.org.living}, both.org.org
    both.org.shift_clock(2)
    org.merge(ids[first], [ids[second]], {"Zenskar_Id__c": second, "Phone": "+49 1"}, org.person)
    await both.field(first, "phone", "+49 1")
    await polled(both)
    both.org.shift_clock(4)
    org.undelete(ids[second], org.person)
    await polled(both)
    both.org.shift_clock(6)
    both.org.edit(ids[first], Phone="+49 2")
    await both.field(first, "phone", "+49 2")
    await polled(both)
    assert await both.flow.scalar(LIVING) == 2
    assert await both.flow.scalar(DEAD) == 0
    assert both.creates() == 2


@pytest.mark.parametrize("are_customers", [True, False])
async def test_a_chain_of_merges_ends_at_the_last_contact(
    both: BothSides, are_customers: bool
) -> None:
    """A is merged into B, and B into C; either all are customers, or A alone."""
    org, names = both.org.org, ("Ada", "Bob", "Cyd")
    ids = [await both.flow.create(name=name) for name in (names if are_customers else names[:1])]
    await both.settle()
    by_name = {row["Name"]: row["Id"] for row in both.org.living}
    both.org.shift_clock(2)
    # Without a pause, so that no poll sees a part of the chain.
    a, b, c = (by_name.get(name) or both.org.add(LastName=name) for name in names)
    org.merge(b, [a], {}, org.person)
    org.merge(c, [b], {"Phone": "+49 1"}, org.person)
    await both.field(ids[-1], "phone", "+49 1")
    await polled(both)
    both.org.shift_clock(6)
    both.org.edit(c, Phone="+49 2")
    await both.field(ids[-1], "phone", "+49 2")
    await both.patch(ids[0], phone="+44 20")
    await polled(both)
    assert await both.flow.scalar(LIVING) == len(ids)
    assert await both.flow.scalar(DEAD) == 0
    assert (both.contact()["Id"], both.creates()) == (c, len(ids))
    expected = "+49 2" if are_customers else "+44 20"
    assert both.contact()["Phone"] == expected


async def test_many_deletes_at_once_stop_the_connection(both: BothSides) -> None:
    for number in range(9):
        await both.flow.create(name=f"n{number}")
    await both.settle()
    both.org.shift_clock(2)
    for row in both.org.living:
        both.org.delete(row["Id"])
    paused = "SELECT count(*) = 1 FROM connections WHERE reason = 'delete_guard'"
    await both.flow.until_scalar(paused)
    assert await both.flow.scalar(LIVING) >= 9 - 5


async def test_a_backfill_stops_before_the_pushes(database_url: str) -> None:
    async with both_sides(database_url, SALESFORCE_POLL_SECONDS="3600") as both:
        await both.flow.create()
        await both.settle()
        for number in range(30):
            both.org.add(LastName=f"n{number}")
        both.org.habits.page_rows = 2
        allowance = both.org.allowance
        allowance.limit = 100
        for _ in range(50):
            allowance.spend()
        runtime = both.flow.runtime
        backfiller = runtime.operations(longest_wait_seconds=0.1).backfiller()
        stopped = await backfiller.run("salesforce", "customer")
        assert "none is left for a backfill" in str(stopped.problem)
        imported = await both.flow.scalar("SELECT count(*) FROM customers")
        assert 1 < imported < 31

        await both.flow.create(name="Eve")
        await both.settle()
        assert "Eve" in {row["LastName"] for row in both.org.living}
        assert allowance.used < allowance.limit
