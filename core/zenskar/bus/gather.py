"""Has what is asked for at the same time done at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from zenskar.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Asked(Generic[T, R]):
    """One thing to do, and who waits for it."""

    item: T
    answer: "asyncio.Future[R]"


class Gather(Generic[T, R]):
    """What comes while `work` is busy waits and goes together.

    Nobody waits for company unless there was plenty of it: after `crowd` items at once, the next
    ones are awaited for `linger_seconds`. `work` returns a result for each item, in their order;
    of items with an equal `key` it gets one at a time.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        most: int,
        key: Callable[[T], Hashable] = id,
        crowd: int = 0,
        linger_seconds: float = 0.0,
    ) -> None:
        self._work = work
        self._most = most
        self._key = key
        self._crowd = crowd
        self._linger_seconds = linger_seconds
        self._waiting: deque[_Asked[T, R]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: T) -> R:
        """Return the result of the work on an item, or raise what it failed with."""
        asked: _Asked[T, R] = _Asked(item, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="gather")
        return await asked.answer

    async def _run(self) -> None:
        batch: Sequence[_Asked[T, R]] = ()
        try:
            while self._waiting:
                batch = self._take()
                await self._do(batch)
                if self._linger_seconds and self._crowd <= len(batch) < self._most:
                    await asyncio.sleep(self._linger_seconds)
        finally:
            self._task = None
            # Something is left only when this task was cancelled.
            for asked in (*batch, *self._waiting):
                asked.answer.cancel()
            self._waiting.clear()

    def _take(self) -> Sequence[_Asked[T, R]]:
        taken: dict[Hashable, _Asked[T, R]] = {}
        later: list[_Asked[T, R]] = []
        while self._waiting and len(taken) < self._most:
            asked = self._waiting.popleft()
            if taken.setdefault(self._key(asked.item), asked) is not asked:
                later.append(asked)
        self._waiting.extendleft(reversed(later))
        return list(taken.values())

    async def _do(self, batch: Sequence[_Asked[T, R]]) -> None:
        try:
            results = await self._work([asked.item for asked in batch])
        except Unavailable as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            if len(batch) == 1:
                _fail(batch, error)
                return
            # One that cannot be done must not fail the others.
            for asked in batch:
                await self._do([asked])
        else:
            for asked, result in zip(batch, results, strict=True):
                if not asked.answer.done():
                    asked.answer.set_result(result)


def _fail(batch: Sequence[_Asked[T, R]], error: Exception) -> None:
    for asked in batch:
        if not asked.answer.done():
            asked.answer.set_exception(error)
