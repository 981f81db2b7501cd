"""Waiting for a wake ends by a wake, by time, or by the end of whoever waits."""

import asyncio

import pytest

from zenskar.bus.wakeup import Wakeup


async def test_a_wait_ends_by_a_wake() -> None:
    wakeup = Wakeup("postgresql://nowhere")
    waiting = asyncio.create_task(wakeup.wait("topic", 60))
    await asyncio.sleep(0)
    wakeup.wake_here("topic")
    async with asyncio.timeout(5):
        await waiting


async def test_a_waiter_that_is_cancelled_while_it_is_woken_ends() -> None:
    """Found by the simulation: a worker that was cut off went on for ever."""
    wakeup = Wakeup("postgresql://nowhere")
    waiting = asyncio.create_task(wakeup.wait("topic", 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    wakeup.wake_here("topic")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
