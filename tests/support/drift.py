"""Two sides that differ, for the tests of reconcile and repair."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text

from tests.support.fake import FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from zenskar.ops.factory import OperationFactory
from zenskar.sync.reconcile.report import Report


def factory(flow: Flow) -> OperationFactory:
    runtime = flow.runtime
    return runtime.operations()


async def reconcile(flow: Flow, settle_seconds: float = 0.0, **options: Any) -> Report:
    reconciler = factory(flow).reconciler(settle_seconds=settle_seconds, wait_seconds=10)
    return await reconciler.run("fake", "customer", **options)


async def execute(flow: Flow, statement: str, **values: Any) -> None:
    async with flow.runtime.engine.begin() as db:
        await db.execute(text(statement), values)


@asynccontextmanager
async def synced(
    database_url: str, count: int, **settings: Any
) -> AsyncIterator[tuple[Flow, FakeSystem]]:
    """Yield a flow whose two sides hold the same objects, and whose worker has stopped.

    Each object was applied so long ago that a fetch of today is newer.
    """
    async with open_flow(database_url, working=False, **settings) as flow:
        system = flow.systems["fake"]
        for number in range(count):
            system.create(name=f"Customer {number}")
        async with running_worker(flow.runtime):
            await flow.deliver()
        await execute(
            flow,
            "UPDATE external_mappings SET asof_low = asof_low - 3600000000,"
            " asof_high = asof_high - 3600000000",
        )
        system.webhooks.clear()
        yield flow, system


async def lose_what_waits(flow: Flow) -> None:
    """Drop the waiting messages, as a restore from an old backup does."""
    await execute(flow, "DELETE FROM outbox")
    await execute(flow, "UPDATE sync_events SET status = 'dead' WHERE status = 'pending'")


async def names(flow: Flow) -> list[str]:
    rows = await flow.rows("SELECT name FROM customers WHERE deleted_at IS NULL ORDER BY name")
    return [row["name"] for row in rows]
