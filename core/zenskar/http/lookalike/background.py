"""Tasks that continue after an answer, and waits that end when the look-alike stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Interrupted(Exception):
    """The look-alike stopped during a wait."""


class Background:
    """The running tasks, with an event that is set while there are none."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = asyncio.Event()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that `settle` waits for."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        self._idle.clear()
        task.add_done_callback(self._done)
        return task

    async def settle(self, timeout: float) -> None:  # noqa: ASYNC109 - part of the public API
        """Wait until no task runs. Raises `TimeoutError` after the timeout."""
        async with asyncio.timeout(timeout):
            await self._idle.wait()

    async def pause(self, seconds: float) -> None:
        """Wait some seconds. Raises `Interrupted` when the look-alike stops during the wait."""
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise Interrupted

    async def cancel(self) -> None:
        """Cancel the running tasks."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def interrupt(self) -> None:
        """End every present and future pause."""
        self._stopping.set()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._idle.set()
