"""Periodic work: due jobs run, and none holds up another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.drift import execute, factory
from tests.support.fake import FakeIntegration, FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar import BaseIntegration, Health
from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
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


async def test_a_feed_is_read_when_it_is_due(database_url: str) -> None:
    async with idle(database_url) as (flow, system, scheduler):
        for _ in range(2):
            await scheduler.run_due()
        assert system.polls == [None]
        await execute(flow, "UPDATE schedules SET due_at = now()")
        await scheduler.run_due()
        assert system.polls == [None, "0"]


async def test_a_system_without_a_feed_is_not_polled(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeIntegration, "changes", BaseIntegration.changes)
    async with idle(database_url) as (flow, _, scheduler):
        await scheduler.run_due()
        query = "SELECT count(*) FROM schedules WHERE name LIKE 'poll:%'"
        assert await flow.scalar(query) == 0


async def test_a_poll_that_hangs_holds_up_no_other_job(database_url: str) -> None:
    settings = {"sweep_seconds": 0.05, "probe_seconds": 0.05, "shutdown_grace_seconds": 0.05}
    async with open_flow(database_url, working=False, **settings) as flow:
        system, hanging = flow.systems["fake"], asyncio.Event()

        async def hang(hook: str, _about: str | None) -> None:
            if hook == "changes":
                hanging.set()
                await asyncio.Event().wait()

        system.reading = hang
        system.health = Health(ok=True)
        engine = flow.runtime.engine
        async with running_worker(flow.runtime):
            await asyncio.wait_for(hanging.wait(), 20)
            await in_transaction(engine, lambda c: connections.pause(c, "fake", "outage"))
            await until(lambda: flow.scalar("SELECT state = 'active' FROM connections"))
