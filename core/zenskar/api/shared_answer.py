"""One answer for all who ask the same."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_PAUSE = 10.0
"""So many times as long as it took, an answer is kept at least: asking never costs more."""


class SharedAnswer(Generic[T]):
    """Does a piece of work once for all who ask meanwhile, and keeps what came of it for a while.

    An error goes to all of them and is not kept. Who goes away does not end the work of others.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[T]],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._seconds = seconds
        self._clock = clock
        self._task: asyncio.Task[T] | None = None
        self._kept_until = 0.0

    async def get(self) -> T:
        """Return what the work yields, or has yielded not long ago."""
        task = self._task
        if task is None or (task.done() and self._clock() >= self._kept_until):
            self._task = task = asyncio.create_task(self._run(), name="shared")
            # When all who asked have gone, nobody else looks at its error.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _run(self) -> T:
        started = self._clock()
        found = await self._work()
        ended = self._clock()
        self._kept_until = ended + max(self._seconds, _PAUSE * (ended - started))
        return found
