"""Deletes that a restored database does not know are found on the bus, and repeated."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.flow import Flow, open_flow
from tests.support.logged_bus import GatedDeleter, LoggedBus, restore, waiting_values
from zenskar.errors import InvalidInput, StateConflict
from zenskar.model.actor import Actor
from zenskar.model.fields import CUSTOMER
from zenskar.ops import recover
from zenskar.ops.recover import Recovery
from zenskar.sync.reconcile.report import ReconcileProgress

BY = Actor("Ada", "a test", "after a restore")
BACKUP = datetime(2026, 1, 1, tzinfo=UTC)
UNREADABLE = (b"", b"deleted", b'{"deleted": 1}', b'{"type": "customer.deleted", "data": []}')


async def deleted(flow: Flow, name: str = "Ada") -> str:
    """Create and delete a customer."""
    record_id = await flow.create(name=name)
    await flow.runtime.customers.delete(record_id, correlation_id="test")
    return record_id


def recovery(flow: Flow, *batches: Sequence[bytes]) -> Recovery:
    runtime = replace(flow.runtime, bus=LoggedBus(flow.runtime.bus, batches))
    return runtime.operations().recovery(runtime.customers.delete)


async def alive(flow: Flow) -> set[str]:
    rows = await flow.rows("SELECT id FROM customers WHERE deleted_at IS NULL")
    return {str(row["id"]) for row in rows}


async def actions(flow: Flow) -> list[tuple[Any, ...]]:
    rows = await flow.rows("SELECT * FROM operator_actions ORDER BY id")
    return [(row["action"], row["by"], row["reason"], row["result"]) for row in rows]


async def test_a_lost_delete_is_found_and_repeated_once(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        kept, lost = await flow.create(name="Eve"), await deleted(flow)
        values = await waiting_values(flow)
        await restore(flow)
        found = recovery(flow, values[:1], values[1:], UNREADABLE)
        report = await found.report(BACKUP)
        assert [each.record_id for each in report.deletes] == [lost]
        assert (report.deletes_known, report.deleted, report.left) == (True, 0, 1)
        assert await alive(flow) == {kept, lost}
        done = await found.repeat_deletes(BACKUP, BY, "again")
        assert (done.deletes, done.deleted, done.left) == (report.deletes, 1, 0)
        assert await alive(flow) == {kept}
        assert await actions(flow) == [("repeat_deletes", "Ada", BY.reason, {"deleted": 1})]
        (event, *_) = reversed(await flow.events("outbound"))
        assert (event["event_type"], event["correlation_id"]) == ("customer.deleted", "again")
        assert (await found.repeat_deletes(BACKUP, BY, "again")).deletes == []
        assert len(await actions(flow)) == 1


async def test_an_undelete_after_the_backup_ends_its_delete(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        undeleter = flow.runtime.operations().undeleter()
        back, gone = await deleted(flow), await deleted(flow)
        for record_id in (back, gone):
            await undeleter.undelete(CUSTOMER.entity_type, record_id, BY, "test")
        await flow.runtime.customers.delete(gone, correlation_id="test")
        values = await waiting_values(flow)
        await restore(flow)
        for repeated in (values, values[::-1], [*values, *values]):
            report = await recovery(flow, repeated).report(BACKUP)
            assert [each.record_id for each in report.deletes] == [gone]


async def test_a_record_that_was_changed_more_often_since_the_restore_stays(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await deleted(flow)
        values = await waiting_values(flow)
        await restore(flow)
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        assert (await recovery(flow, values).report(BACKUP)).deletes == []


async def test_without_a_log_the_deletes_are_unknown(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        runtime = flow.runtime
        found = runtime.operations().recovery(runtime.customers.delete)
        report = await found.repeat_deletes(BACKUP, BY, "again")
        assert (report.deletes_known, report.deletes) == (False, [])
        with pytest.raises(InvalidInput, match="not come yet"):
            await found.report(datetime.now(UTC) + timedelta(minutes=1))


async def test_deletes_beyond_the_time_are_left_for_the_next_call(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_flow(database_url, working=False) as flow:
        lost = {await deleted(flow) for _ in range(2)}
        values = await waiting_values(flow)
        await restore(flow)
        found = replace(recovery(flow, values), step_seconds=30.0)
        ticks = itertools.count(step=60)
        monkeypatch.setattr(recover, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
        first = await found.repeat_deletes(BACKUP, BY, "again")
        assert (len(first.deletes), first.deleted, first.left) == (2, 1, 1)
        assert len(await alive(flow)) == 1
        second = await found.repeat_deletes(BACKUP, BY, "again")
        assert (second.deleted, second.left, await alive(flow)) == (1, 0, set())
        assert {each.record_id for each in first.deletes} == lost


@dataclass
class EndlessBus(LoggedBus):
    """A bus whose log is longer than anybody can read; it notes that its reader is gone."""

    closed: bool = False

    async def values_since(
        self, _topic: str, _since: datetime
    ) -> AsyncGenerator[Sequence[bytes], None]:
        """Wait for ever."""
        try:
            yield []
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_a_log_that_is_too_long_for_the_time_changes_nothing(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        bus = EndlessBus(flow.runtime.bus, ())
        found = replace(recovery(flow), bus=bus, step_seconds=0.05)
        with pytest.raises(StateConflict, match="zenskar recover"):
            await found.repeat_deletes(BACKUP, BY, "again")
        assert bus.closed
        assert await actions(flow) == []


async def test_a_repetition_in_progress_tells_how_many_are_done(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        for _ in range(3):
            await deleted(flow)
        values = await waiting_values(flow)
        await restore(flow)
        gate = GatedDeleter(flow.runtime.customers.delete, after=2)
        found = replace(recovery(flow, values), delete=gate, progress_seconds=0.0)
        shown: list[ReconcileProgress] = []
        running = asyncio.create_task(found.repeat_deletes(BACKUP, BY, "again", shown.append))
        await asyncio.wait_for(gate.reached.wait(), 10)
        (row,) = await flow.rows("SELECT * FROM operator_actions")
        assert (row["state"], row["request"]["records"], row["result"]) == (
            "begun",
            3,
            {"deleted": 2},
        )
        gate.opened.set()
        assert (await running).left == 0
        assert [(each.done, each.total) for each in shown] == [(1, 3), (2, 3), (3, 3)]
        (row,) = await flow.rows("SELECT * FROM operator_actions")
        assert (row["state"], row["result"]) == ("done", {"deleted": 3})
