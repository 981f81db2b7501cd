"""Share one result among concurrent callers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_PAUSE = 10.0
"""A result is kept for ten times its cost: computing takes a tenth of the time at most."""


class SharedAnswer(Generic[T]):
    """Computes a result once for all concurrent callers, and keeps the result for a while.

    An error goes to all callers and is not kept. A cancelled caller does not cancel the others.
    """

    def __init__(
        self,
        compute: Callable[[], Awaitable[T]],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._seconds = seconds
        self._clock = clock
        self._task: asyncio.Task[T] | None = None
        self._kept_until = 0.0

    async def get(self) -> T:
        """Return the result, kept or new. Raises the error of the computation."""
        task = self._task
        if task is None or (task.done() and self._clock() >= self._kept_until):
            self._task = task = asyncio.create_task(self._run(), name="shared")
            # When all callers were cancelled, nothing else retrieves the error.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _run(self) -> T:
        started = self._clock()
        found = await self._compute()
        ended = self._clock()
        self._kept_until = ended + max(self._seconds, _PAUSE * (ended - started))
        return found
