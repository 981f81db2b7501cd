"""After SIGKILL in the middle of a batch of pushes, each push is resolved and none is repeated."""

import asyncio
import os
import signal
import sys

import pytest

from tests.crash.batch_victim import PLUGINS
from tests.crash.processes import DEADLINE_SECONDS, LEASES, ROOT
from tests.crash.test_sigkill import LEASES_OVER
from tests.e2e.crm_variants import BulkCrm
from tests.support.flow import Flow, running_worker
from zenskar.runtime import open_runtime
from zenskar.settings import load

NAMES = [f"Customer {number}" for number in range(5)]


@pytest.mark.parametrize("hangs", ["before", "after"])
async def test_a_worker_killed_in_a_batch_loses_nothing(database_url: str, hangs: str) -> None:
    async with BulkCrm() as crm:
        environment = {
            "ZENSKAR_DATABASE_URL": database_url,
            **{f"CRM_{name}".upper(): value for name, value in crm.settings.items()},
            **LEASES,
        }
        settings = load(environment, poll_seconds=0.2)
        async with open_runtime(settings, environment, plugins=PLUGINS) as runtime:
            flow = Flow(runtime, {})
            for name in NAMES:
                await flow.create(name=name)
            crm.hangs = hangs
            await kill_when_arrived(crm, environment)
            assert await flow.scalar("SELECT count(*) FROM push_intents WHERE state = 'sent'") == 5
            async with runtime.engine.begin() as db:
                await db.exec_driver_sql(LEASES_OVER)
            async with running_worker(runtime):
                await flow.settle()
            assert sorted(each["full_name"] for each in crm.contacts.values()) == NAMES
            assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0
            assert await flow.scalar("SELECT count(*) FROM external_mappings") == 5


async def kill_when_arrived(crm: BulkCrm, environment: dict[str, str]) -> None:
    """Run a worker until its batch has arrived at the CRM, and kill the worker."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.batch_victim"),
        cwd=ROOT,
        env=os.environ | environment | {"ZENSKAR_LOG_LEVEL": "error"},
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await crm.arrived.wait()
    finally:
        process.kill()
    assert await process.wait() == -signal.SIGKILL
    crm.hangs = None
