"""A reconcile after a loss reads its own list, and answers no later request."""

import asyncio
from typing import Any

import pytest

from tests.support.drift import execute, factory, names, reconcile, synced
from tests.support.flow import DEADLINE_SECONDS, Flow, running_worker
from zenskar.db import schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.sync.reconcile.reconcile_job import ReconcileJob
from zenskar.sync.reconcile.report import ReconcileProgress, Report, Tally

NAME = ReconcileJob.schedule("fake")


async def request(flow: Flow) -> None:
    await in_transaction(flow.runtime.engine, lambda c: ReconcileJob.request(c, "fake"))


async def state(flow: Flow) -> dict[str, Any]:
    return await in_transaction(flow.runtime.engine, lambda c: schedules.state(c, NAME))


async def run(flow: Flow) -> None:
    reconciler = factory(flow).reconciler(settle_seconds=0.0, wait_seconds=10)
    await ReconcileJob(flow.runtime.context, reconciler).run("fake", await state(flow))


# A scheduler would run the requested job beside the test.
async def test_a_run_that_was_stopped_before_the_loss_is_not_resumed(database_url: str) -> None:
    async with synced(database_url, 2) as (flow, system):

        def stop(_progress: ReconcileProgress) -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await reconcile(flow, on_progress=stop)
        system.create(name="Lost")
        system.webhooks.clear()
        await request(flow)
        async with running_worker(flow.runtime, "inbound", "outbound"):
            await run(flow)
        assert "Lost" in await names(flow)
        assert await state(flow) == {}


async def test_a_request_during_the_run_stays(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, _):

        class Slow:
            async def run(self, source: str, entity_type: str, **_options: bool) -> Report:
                await request(flow)
                return Tally().report(source, entity_type)

        await request(flow)
        job = ReconcileJob(flow.runtime.context, Slow())  # type: ignore[arg-type]
        await job.run("fake", await state(flow))
        assert await state(flow) == {"wanted": True}
        await run(flow)
        assert await state(flow) == {}


async def test_another_worker_resumes_the_run_soon_after_the_last_renewal(
    database_url: str,
) -> None:
    held = "SELECT due_at > now() FROM schedules WHERE name = :name"
    minutes = (
        "SELECT ceil(extract(epoch FROM due_at - now()) / 60) FROM schedules WHERE name = :name"
    )
    async with synced(database_url, 1) as (flow, _):
        renewed = asyncio.Event()

        class Endless:
            async def run(self, source: str, entity_type: str, **_options: bool) -> Report:
                await execute(flow, "UPDATE schedules SET due_at = now()")
                await flow.until_scalar(held, name=NAME)
                renewed.set()
                return await asyncio.Event().wait()  # type: ignore[return-value]

        await request(flow)
        job = ReconcileJob(flow.runtime.context, Endless(), renew_seconds=0.05)  # type: ignore[arg-type]
        running = asyncio.create_task(job.run("fake", await state(flow)))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await renewed.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await flow.scalar(minutes, name=NAME) == 1
        assert await state(flow) == {"wanted": True, "begun": True}
