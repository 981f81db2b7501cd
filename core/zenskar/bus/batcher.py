"""Has what is asked for at the same time done at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

from zenskar.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")

_REMEMBERED = 0.98
"""How much of a crowd is expected again for the next batch, if it is not seen."""


class _Asked(NamedTuple, Generic[T, R]):
    """One thing to do, and who waits for it."""

    item: T
    answer: "asyncio.Future[R]"


class Batcher(Generic[T, R]):
    """What comes in one turn of the loop, or while all `hands` are busy, goes together.

    `work` returns a result for each item, in their order, or the error that its asker is to get.
    With one hand, of items with an equal `key` it gets one at a time.

    Several hands share a crowd evenly, so that one works while another waits for its answer. While
    there is work under way, a hand waits for its whole share; while there is none, for as long as
    more comes in `turns` turns of the loop. Whoever has just had an answer may ask again at once,
    and a crowd would come apart into ever smaller batches. When there is nothing else to do, a
    turn takes microseconds.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        most: int,
        key: Callable[[T], Hashable] | None = None,
        receivers: int = 1,
        turns: int = 0,
    ) -> None:
        self._work = work
        self._most = most
        self._key = key
        self._receivers = receivers
        self._turns = turns
        self._waiting: deque[_Asked[T, R]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._coming = False
        self._under_way = 0
        self._crowd = 0.0

    async def add(self, item: T) -> R:
        """Return the result of the work on an item, or raise what it failed with."""
        asked: _Asked[T, R] = _Asked(item, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._call()
        return await asked.answer

    def _call(self) -> None:
        """Have a hand come for its share, unless one is on its way or all are busy."""
        if self._is_ready() and not self._coming and len(self._tasks) < self._receivers:
            self._coming = True
            self._tasks.add(asyncio.create_task(self._run(), name="gather"))

    async def _run(self) -> None:
        batch: Sequence[_Asked[T, R]] = ()
        try:
            while self._is_ready():
                self._coming = True
                await self._company()
                self._coming = False
                batch = self._take()
                self._under_way += len(batch)
                self._call()
                try:
                    # Another hand may have taken all that this one came for.
                    if batch:
                        await self._do(batch)
                finally:
                    self._under_way -= len(batch)
        finally:
            self._coming = False
            self._tasks.discard(asyncio.current_task())
            # Something is left only when the tasks were cancelled.
            left = batch if self._tasks else (*batch, *self._waiting)
            for asked in left:
                asked.answer.cancel()
            if not self._tasks:
                self._waiting.clear()

    def _is_ready(self) -> bool:
        waiting = len(self._waiting)
        return waiting > 0 and (not self._under_way or waiting >= self._share()[0])

    def _share(self) -> tuple[int, int]:
        """Return the smallest and the largest of the shares of the crowd."""
        crowd = max(len(self._waiting) + self._under_way, int(self._crowd))
        share, rest = divmod(crowd, self._receivers)
        return min(share, self._most), min(share + bool(rest), self._most)

    async def _company(self) -> None:
        quiet = 0
        while quiet < self._turns and len(self._waiting) < self._share()[0]:
            before = len(self._waiting)
            await asyncio.sleep(0)
            quiet = 0 if len(self._waiting) > before else quiet + 1

    def _take(self) -> Sequence[_Asked[T, R]]:
        waiting, key = self._waiting, self._key
        # Those who have their answers are on their way back: a crowd is forgotten slowly.
        self._crowd = max(len(waiting) + self._under_way, self._crowd * _REMEMBERED)
        if key is None:
            count = min(self._share()[1], len(waiting))
            return [waiting.popleft() for _ in range(count)]
        taken: dict[Hashable, _Asked[T, R]] = {}
        later: list[_Asked[T, R]] = []
        while waiting and len(taken) < self._most:
            asked = waiting.popleft()
            if taken.setdefault(key(asked.item), asked) is not asked:
                later.append(asked)
        waiting.extendleft(reversed(later))
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
