"""Workers that are missing, hang, or are of another release."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from playwright.async_api import Browser as Chromium

from tests.browser.chromium import watched
from tests.browser.faults.clicks import fault
from tests.support.console import OpenConsole, open_console
from tests.support.flow import running_worker
from zenskar.db import workers
from zenskar.db.driver.engine import in_transaction
from zenskar.db.workers import ROLES, WorkerPlace
from zenskar.ids import new_id

_LONG_SECONDS = 1000.0


async def test_workers_that_are_missing_hang_or_are_old(
    browser: Chromium, database_url: str
) -> None:
    async with (
        open_console(database_url, auth="off") as console,
        watched(browser, console.address) as page,
        AsyncExitStack() as stack,
    ):
        async with fault(page, "no worker runs") as operator:
            await operator.sees_the_state("No worker runs", "zenskar worker")
            await stack.enter_async_context(running_worker(console.flow.runtime))
            await operator.sees("All parts work")
        release = await _hang(console)
        async with fault(page, "a worker hangs") as operator:
            await operator.sees("A worker is stuck", "outbound has been at the same work")
            await operator.follow("A worker is stuck")
            await operator.sees_the_state("stuck", "outbound has been at the same work for")
            release()
        async with fault(page, "a release is half rolled out") as operator:
            place = WorkerPlace("the-old-host", "0.0.1")
            await in_transaction(
                console.flow.runtime.engine,
                lambda c: workers.beat(c, new_id(), ROLES, place=place),
            )
            await operator.follow("System")
            await operator.sees_the_state("the-old-host", "0.0.1", "another version")


async def _hang(console: OpenConsole) -> Callable[[], None]:
    """Let a push hang for longer than any push takes, and return the end of it."""
    flow, free = console.flow, asyncio.Event()
    flow.systems["fake"].on_the_way = lambda _push: free.wait()
    await flow.create()
    await flow.until_scalar("SELECT EXISTS (SELECT FROM push_intents)")
    flow.runtime.progress._clock = lambda: time.monotonic() + _LONG_SECONDS
    await flow.until_scalar("SELECT problem IS NOT NULL FROM workers")
    return free.set
