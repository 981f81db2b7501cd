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
    """What comes in one turn of the loop, or while all `hands` are busy, goes together.

    `work` returns a result for each item, in their order, or the error that its asker is to get.
    With one hand, of items with an equal `key` it gets one at a time.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        most: int,
        key: Callable[[T], Hashable] = id,
        hands: int = 1,
    ) -> None:
        self._work = work
        self._most = most
        self._key = key
        self._hands = hands
        self._waiting: deque[_Asked[T, R]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._about_to_take = False

    async def add(self, item: T) -> R:
        """Return the result of the work on an item, or raise what it failed with."""
        asked: _Asked[T, R] = _Asked(item, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if not self._about_to_take and len(self._tasks) < self._hands:
            self._about_to_take = True
            self._tasks.add(asyncio.create_task(self._run(), name="gather"))
        return await asked.answer

    async def _run(self) -> None:
        self._about_to_take = False
        batch: Sequence[_Asked[T, R]] = ()
        try:
            while self._waiting:
                batch = self._take()
                await self._do(batch)
        finally:
            self._tasks.discard(asyncio.current_task())
            # Something is left only when the tasks were cancelled.
            left = batch if self._tasks else (*batch, *self._waiting)
            for asked in left:
                asked.answer.cancel()
            if not self._tasks:
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
                if isinstance(result, Exception):
                    _fail([asked], result)
                elif not asked.answer.done():
                    asked.answer.set_result(result)


def _fail(batch: Sequence[_Asked[T, R]], error: Exception) -> None:
    for asked in batch:
        if not asked.answer.done():
            asked.answer.set_exception(error)
