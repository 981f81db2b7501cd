"""Run servers and background tasks until a signal arrives."""

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
"""The surplus of new objects that starts a collection; one batch exceeds Python's default, 700."""


def run_server(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a server on uvloop, the faster event loop, unless the platform lacks it (Windows)."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(coroutine)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def freeze_startup_objects() -> None:
    """Exclude objects built at start-up from garbage collection: they live until the end.

    Scanning them again and again costs more than most requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


@asynccontextmanager
async def stop_signals() -> AsyncIterator[asyncio.Event]:
    """Yield an event that SIGINT and SIGTERM set.

    A second signal cancels the current task, and ends the process after 2 seconds.
    Raises `SystemExit` in the task that was cancelled so.
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
    coroutine: Coroutine[Any, Any, None], stopping: asyncio.Event
) -> AsyncIterator[None]:
    """Run a coroutine beside the body; when the coroutine ends or fails, set `stopping`."""
    task = asyncio.create_task(coroutine)
    task.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        stopping.set()
        await task
