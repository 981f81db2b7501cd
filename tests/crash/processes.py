"""Start processes that will be killed, on the database of a world."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.simulation.world import World
from tests.support.child_process import child_process

ROOT = Path(__file__).parent.parent.parent
DEADLINE_SECONDS = 60.0
NOWHERE = "nowhere"
LEASES = {"ZENSKAR_CLAIM_LEASE_SECONDS": "0.6"}


@asynccontextmanager
async def victim(
    world: World, role: str, point: str, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process that kills itself at this failpoint, or at the end of the block."""
    database = world.settings.database_url
    assert database is not None
    settings = {
        "ZENSKAR_DATABASE_URL": database.get_secret_value(),
        "ZENSKAR_LOG_LEVEL": "error",
        "ZENSKAR_AUTH": "off",
    }
    command = (sys.executable, "-m", "tests.crash.victim", role, point)
    environment = os.environ | world.environment | LEASES | settings | variables
    async with child_process(
        *command, env=environment, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    ) as process:
        yield process


async def address(process: asyncio.subprocess.Process) -> str:
    """Return the address of an API."""
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        return (await process.stdout.readline()).decode().strip()


async def returncode(process: asyncio.subprocess.Process) -> int:
    """Return the exit code of a process, negative for a signal."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await process.wait()
