"""Periodic work: missed webhooks are looked for, and only success moves the time on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.drift import execute, factory
from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar import FailureKind, Health
from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.model.interval import MICROSECONDS, Interval
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.resilience.circuit_breaker import CircuitBreaker
from zenskar.worker.jobs import upkeep
from zenskar.worker.scheduler import Scheduler


@asynccontextmanager
async def idle(database_url: str) -> AsyncIterator[tuple[Flow, FakeSystem, Scheduler]]:
    """A scheduler whose jobs run when the test says so."""
    async with open_flow(database_url, working=False, sweep_seconds=600) as flow:
        runtime = flow.runtime
        circuit_breaker = CircuitBreaker(runtime.context.invoker, runtime.connections)
        jobs = upkeep(runtime.context, runtime.bus, factory(flow), runtime.settings)
        scheduler = Scheduler(
            runtime.context,
            circuit_breaker,
            jobs,
            runtime.progress,
            AccountCheck(runtime.context),
            probe_seconds=600,
        )
        yield flow, flow.systems["fake"], scheduler


async def due(flow: Flow, scheduler: Scheduler) -> None:
    """Run the jobs as if their time had come."""
    await execute(flow, "UPDATE schedules SET due_at = now()")
    await scheduler.run_due()


async def since(flow: Flow) -> datetime | None:
    query = "SELECT state ->> 'since' FROM schedules WHERE name = 'sweep_missed:fake'"
    text = await flow.scalar(query)
    return None if text is None else datetime.fromisoformat(text)


async def test_a_dropped_webhook_is_made_up_for(database_url: str) -> None:
    async with open_flow(database_url, sweep_seconds=0.05) as flow:
        system = flow.systems["fake"]
        external_id = system.create(name="Grace")
        system.webhooks.clear()
        system.missed = [external_id]
        await until(lambda: flow.scalar("SELECT count(*) FROM customers"))
        (record,) = await flow.rows("SELECT name FROM customers")
        assert record == {"name": "Grace"}
        first = "SELECT * FROM sync_events WHERE direction = 'inbound' ORDER BY id LIMIT 1"
        (event,) = await flow.rows(first)
        assert (event["event_type"], event["reason"]) == ("customer.fetched", "created")
        system.missed = []


async def test_a_dropped_delete_is_made_up_for(database_url: str) -> None:
    async with idle(database_url) as (flow, system, scheduler):
        external_id = system.create(name="Grace")
        async with running_worker(flow.runtime):
            await flow.deliver()
            system.objects[external_id] = None
            system.missed = [external_id]
            await due(flow, scheduler)
            await flow.settle()
        assert await flow.scalar("SELECT count(*) FROM customers WHERE deleted_at IS NULL") == 0


async def test_each_sweep_looks_from_where_the_last_one_began(database_url: str) -> None:
    async with idle(database_url) as (flow, system, scheduler):
        before = datetime.now(UTC)
        await scheduler.run_due()
        left = await since(flow)
        assert left is not None
        assert before <= left <= datetime.now(UTC)
        await scheduler.run_due()
        assert len(system.sweeps) == 1
        await due(flow, scheduler)
        assert len(system.sweeps) == 2
        overlap = timedelta(minutes=5, seconds=2)
        assert system.sweeps[1] == left - overlap
        assert abs(system.sweeps[0] - (left - timedelta(seconds=600) - overlap)).seconds == 0


async def test_every_page_of_a_sweep_is_read(database_url: str) -> None:
    async with idle(database_url) as (flow, system, scheduler):
        system.page_size = 2
        system.missed = [system.create(name=f"Customer {n}") for n in range(5)]
        await scheduler.run_due()
        assert await flow.scalar("SELECT count(*) FROM outbox WHERE topic = 'sync.inbound'") == 5


async def test_a_failed_sweep_moves_nothing_on_and_is_not_repeated_at_once(
    database_url: str,
) -> None:
    async with idle(database_url) as (flow, system, scheduler):
        await scheduler.run_due()
        left = await since(flow)
        system.page_size = 1
        system.missed = [system.create(name="Ada"), system.create(name="Grace")]

        def break_off(hook: str, about: str | None) -> None:
            if (hook, about) == ("missed_events", "1"):
                raise FakeError(FailureKind.TRANSIENT)

        system.reading = break_off
        await due(flow, scheduler)
        assert await since(flow) == left
        assert len(system.sweeps) == 2
        system.reading = lambda _hook, _about: None
        await due(flow, scheduler)
        moved = await since(flow)
        assert moved is not None
        assert left is not None
        assert moved > left
        assert system.sweeps[1] == system.sweeps[2]
        keys = "SELECT DISTINCT key FROM outbox WHERE topic = 'sync.inbound' ORDER BY key"
        assert [row["key"] for row in await flow.rows(keys)] == [
            f"fake:{external_id}" for external_id in system.missed
        ]


async def test_a_paused_connection_is_not_asked_and_loses_no_time(database_url: str) -> None:
    async with idle(database_url) as (flow, system, scheduler):
        await scheduler.run_due()
        left = await since(flow)
        engine = flow.runtime.engine
        await in_transaction(engine, lambda c: connections.pause(c, "fake", "an operator"))
        await due(flow, scheduler)
        assert (len(system.sweeps), await since(flow)) == (1, left)
        await in_transaction(engine, lambda c: connections.resume(c, "fake"))
        await due(flow, scheduler)
        assert len(system.sweeps) == 2


async def test_a_sweep_that_hangs_holds_up_no_other_job(database_url: str) -> None:
    settings = {"sweep_seconds": 0.05, "probe_seconds": 0.05, "shutdown_grace_seconds": 0.05}
    async with open_flow(database_url, working=False, **settings) as flow:
        system, hanging = flow.systems["fake"], asyncio.Event()

        async def hang(_hook: str, _about: str | None) -> None:
            hanging.set()
            await asyncio.Event().wait()

        system.reading = hang
        system.health = Health(ok=True)
        engine = flow.runtime.engine
        async with running_worker(flow.runtime):
            await asyncio.wait_for(hanging.wait(), 20)
            await in_transaction(engine, lambda c: connections.pause(c, "fake", "outage"))
            await until(lambda: flow.scalar("SELECT state = 'active' FROM connections"))


@pytest.mark.parametrize("ahead", [-3600, 3600])
async def test_a_sweep_looks_on_the_clock_that_it_asks(database_url: str, ahead: int) -> None:
    async with idle(database_url) as (flow, system, scheduler):
        offset = Interval(0, 0).after(ahead * MICROSECONDS)
        await in_transaction(
            flow.runtime.engine, lambda c: connections.note_clock(c, "fake", offset)
        )
        await scheduler.run_due()
        await due(flow, scheduler)
        there, overlap = timedelta(seconds=ahead), timedelta(minutes=5)
        left = await since(flow)
        assert left is not None
        assert abs(system.sweeps[1] - (left + there - overlap)) < timedelta(seconds=60)
        assert system.sweeps[1] - system.sweeps[0] >= timedelta(seconds=600)
