"""Has what is asked for at the same time done at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from zenskar.errors import Unavailable

T = TypeVar("T")


class Gather(Generic[T]):
    """What comes while `work` is busy waits and goes together, so nobody waits for company."""

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[None]], *, most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[Sequence[T], asyncio.Future[None]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def add(self, items: Sequence[T]) -> None:
        """Return when the work on these items is done, or raise what it failed with."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                count = min(self._most, len(self._waiting))
                await self._do([self._waiting.popleft() for _ in range(count)])
        finally:
            self._task = None

    async def _do(self, asked: Sequence[tuple[Sequence[T], asyncio.Future[None]]]) -> None:
        try:
            await self._work([item for items, _ in asked for item in items])
        except Unavailable as error:
            _tell(asked, error)
        except Exception as error:  # noqa: BLE001 - whoever asked is told, each of its own
            if len(asked) == 1:
                _tell(asked, error)
                return
            # One that cannot be done must not fail the others.
            for one in asked:
                await self._do([one])
        else:
            _tell(asked, None)


def _tell(asked: Sequence[tuple[object, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, future in asked:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
