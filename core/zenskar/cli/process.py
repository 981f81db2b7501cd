"""Signals, and what runs until one arrives."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_FORCED_SECONDS = 2.0
_FORCED_CODE = 130
_COLLECT_AFTER = 10_000
"""So many more objects are to be made than were freed; Python's own 700 are made by one batch."""


def run_server(work: Coroutine[Any, Any, T]) -> T:
    """Run a server on the faster event loop, which Windows does not have."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def freeze_startup_objects() -> None:
    """Have the garbage collector leave alone what the start has built: nothing of it goes away.

    Looking through all of it again and again costs more than most of the work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


@asynccontextmanager
async def stop_signals() -> AsyncIterator[asyncio.Event]:
    """Yield an event that SIGINT and SIGTERM set.

    A second signal cancels whatever still finishes its work, and does not wait for long.
    """
    stopping, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if not stopping.is_set():
            stopping.set()
            return
        if task is not None:
            task.cancel()
        loop.call_later(_FORCED_SECONDS, os._exit, _FORCED_CODE)

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield stopping
    except asyncio.CancelledError:
        raise SystemExit(_FORCED_CODE) from None
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def in_background(
    work: Coroutine[Any, Any, None], stopping: asyncio.Event
) -> AsyncIterator[None]:
    """Run work that ends by `stopping`, beside the body; when it ends or fails, all is to stop."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        stopping.set()
        await task
