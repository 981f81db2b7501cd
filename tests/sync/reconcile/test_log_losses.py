"""Losses of the log are detected and repaired."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.drift import execute, names, synced
from tests.support.flow import Flow, open_flow, running_worker
from zenskar.bus.port import LogRange
from zenskar.db import log_positions
from zenskar.db.driver.engine import in_transaction
from zenskar.db.log_positions import LogPosition, Place
from zenskar.sync.reconcile import log_losses
from zenskar.sync.reconcile.log_losses import LogLossDetector, losses

HERE: Place = ("sync.inbound", 0)
WANTED = "SELECT state -> 'wanted' FROM schedules WHERE name = 'compare:fake' AND due_at <= now()"


@pytest.mark.parametrize(
    ("known", "there", "why"),
    [
        (None, LogRange(0, 0), None),
        (None, LogRange(7, 9), None),
        (LogPosition(9), LogRange(0, 9, 9), None),
        (LogPosition(9), LogRange(4, 12, 5), None),
        (LogPosition(9), LogRange(0, 9), None),
        (LogPosition(9), LogRange(0, 8, 8), log_losses.WENT_BACK),
        (LogPosition(9), LogRange(0, 0), log_losses.WENT_BACK),
        (LogPosition(9, went_back=True), LogRange(0, 20, 20), log_losses.WENT_BACK),
        (None, LogRange(0, 5, 6), log_losses.OUT_OF_RANGE),
        (LogPosition(9), LogRange(6, 9, 5), log_losses.UNREAD),
        (LogPosition(9), LogRange(6, 9), log_losses.NO_OFFSET),
        (LogPosition(9), None, log_losses.RECREATED),
    ],
)
def test_losses(known: LogPosition | None, there: LogRange | None, why: str | None) -> None:
    found = losses({HERE: known} if known else {}, {HERE: there} if there else {})
    assert [loss.sign for loss in found] == ([why] if why else [])


def test_a_bus_without_a_log_has_lost_what_was_on_one() -> None:
    assert losses({}, None) == []
    (loss,) = losses({HERE: LogPosition(1)}, None)
    assert str(loss) == "sync.inbound/0 is no longer used"


@pytest.mark.parametrize("seen", [{HERE: LogRange(0, 1, 1)}, None])
def test_dead_letters_on_the_log_are_no_loss(seen: Mapping[Place, LogRange] | None) -> None:
    assert losses({("sync.dlq", 9): LogPosition(4)}, seen) == []


async def watch(flow: Flow, seen: Mapping[Place, LogRange] | None) -> None:
    async def read() -> Mapping[Place, LogRange] | None:
        return seen

    await execute(flow, "INSERT INTO schedules (name) VALUES ('watch_log') ON CONFLICT DO NOTHING")
    state: Any = await flow.scalar("SELECT state FROM schedules WHERE name = 'watch_log'")
    await LogLossDetector(flow.runtime.context, read).run(state)


async def test_a_loss_starts_a_comparison_once(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await watch(flow, {HERE: LogRange(0, 9, 9)})
        assert await flow.scalar(WANTED) is None
        await watch(flow, {HERE: LogRange(0, 2, 2)})
        assert await flow.scalar(WANTED) is True
        due = "SELECT due_at <= now() FROM schedules WHERE name = 'poll:fake'"
        assert await flow.scalar(due) is True
        await execute(flow, "UPDATE schedules SET state = '{}' WHERE name = 'compare:fake'")
        await watch(flow, {HERE: LogRange(0, 3, 3)})
        assert await flow.scalar(WANTED) is None


async def test_a_loss_that_stays_to_be_seen_is_told_once(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        for _ in range(2):
            await watch(flow, {HERE: LogRange(6, 10, 3)})
            assert await flow.scalar(WANTED) is True
            await execute(flow, "UPDATE schedules SET state = '{}' WHERE name = 'compare:fake'")
            await watch(flow, {HERE: LogRange(6, 10, 3)})
            assert await flow.scalar(WANTED) is None
            await watch(flow, {HERE: LogRange(6, 10, 10)})


async def test_leaving_kafka_is_noticed(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        position = {HERE: LogPosition(3)}
        await in_transaction(flow.runtime.engine, lambda c: log_positions.save(c, position))
        await watch(flow, None)
        assert await flow.scalar(WANTED) is True
        assert await flow.scalar("SELECT count(*) FROM log_positions") == 0


async def test_what_was_lost_comes_in_by_the_comparison(database_url: str) -> None:
    """A webhook that was answered was on the log alone, and is gone with it."""
    async with synced(database_url, 1) as (flow, system):
        (kept,) = system.objects
        system.create(name="Grace")
        system.edit(kept, name="Edited")
        system.webhooks.clear()
        await in_transaction(
            flow.runtime.engine,
            lambda c: log_positions.save(c, {HERE: LogPosition(3, went_back=True)}),
        )
        await watch(flow, {HERE: LogRange(0, 0)})
        async with running_worker(flow.runtime):
            await flow.until_scalar(
                "SELECT count(*) FROM schedules WHERE name = 'compare:fake' AND state = '{}'"
            )
        assert await names(flow) == ["Edited", "Grace"]
