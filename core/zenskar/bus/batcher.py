"""A micro-batcher: items that are submitted together are processed together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

from zenskar.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")

_BURST_DECAY = 0.98
"""The share of the last burst that is expected for the next batch."""


class _Request(NamedTuple, Generic[T, R]):
    """An item, and the future of its caller."""

    item: T
    result: "asyncio.Future[R]"


class Batcher(Generic[T, R]):
    """Batches the items of one turn of the loop, or of the time while all receivers are busy.

    `process` returns a result for each item in order, or the error for its caller. With one
    receiver, a batch holds one of the items with an equal `key`.

    Several receivers share a burst evenly, so that one processes while another waits for the
    database. While a batch is in progress, a receiver waits for its whole share. Otherwise it waits
    as long as items arrive within `turns` turns of the loop. A caller with a result may submit
    again at once, and without the wait a burst would split into smaller and smaller batches. A turn
    of an idle loop takes microseconds.
    """

    def __init__(
        self,
        process: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        most: int,
        key: Callable[[T], Hashable] | None = None,
        receivers: int = 1,
        turns: int = 0,
    ) -> None:
        self._process = process
        self._most = most
        self._key = key
        self._receivers = receivers
        self._turns = turns
        self._waiting: deque[_Request[T, R]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._collecting = False
        self._in_progress = 0
        self._burst = 0.0

    async def submit(self, item: T) -> R:
        """Process an item in a batch and return its result; raises the error of its processing."""
        request: _Request[T, R] = _Request(item, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._start_receiver()
        return await request.result

    def _start_receiver(self) -> None:
        """Start a receiver, unless one is collecting its share or all are busy."""
        if self._is_ready() and not self._collecting and len(self._tasks) < self._receivers:
            self._collecting = True
            self._tasks.add(asyncio.create_task(self._run(), name="batcher"))

    async def _run(self) -> None:
        batch: Sequence[_Request[T, R]] = ()
        try:
            while self._is_ready():
                self._collecting = True
                await self._collect()
                self._collecting = False
                batch = self._take_batch()
                self._in_progress += len(batch)
                self._start_receiver()
                try:
                    # Another receiver may have taken all items.
                    if batch:
                        await self._process_batch(batch)
                finally:
                    self._in_progress -= len(batch)
        finally:
            self._collecting = False
            self._tasks.discard(asyncio.current_task())
            # Requests are left only when the tasks were cancelled.
            left = batch if self._tasks else (*batch, *self._waiting)
            for request in left:
                request.result.cancel()
            if not self._tasks:
                self._waiting.clear()

    def _is_ready(self) -> bool:
        waiting = len(self._waiting)
        return waiting > 0 and (not self._in_progress or waiting >= self._share()[0])

    def _share(self) -> tuple[int, int]:
        """Return the smallest and the largest share of the burst."""
        burst = max(len(self._waiting) + self._in_progress, int(self._burst))
        share, rest = divmod(burst, self._receivers)
        return min(share, self._most), min(share + bool(rest), self._most)

    async def _collect(self) -> None:
        quiet = 0
        while quiet < self._turns and len(self._waiting) < self._share()[0]:
            before = len(self._waiting)
            await asyncio.sleep(0)
            quiet = 0 if len(self._waiting) > before else quiet + 1

    def _take_batch(self) -> Sequence[_Request[T, R]]:
        waiting, key = self._waiting, self._key
        # Callers with results will submit again, so the expected burst shrinks slowly.
        self._burst = max(len(waiting) + self._in_progress, self._burst * _BURST_DECAY)
        if key is None:
            count = min(self._share()[1], len(waiting))
            return [waiting.popleft() for _ in range(count)]
        taken: dict[Hashable, _Request[T, R]] = {}
        later: list[_Request[T, R]] = []
        while waiting and len(taken) < self._most:
            request = waiting.popleft()
            if taken.setdefault(key(request.item), request) is not request:
                later.append(request)
        waiting.extendleft(reversed(later))
        return list(taken.values())

    async def _process_batch(self, batch: Sequence[_Request[T, R]]) -> None:
        try:
            results = await self._process([request.item for request in batch])
        except Unavailable as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - the caller gets it
            if len(batch) == 1:
                _fail(batch, error)
                return
            # A failing item must not fail the others.
            for request in batch:
                await self._process_batch([request])
        else:
            for request, result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    _fail([request], result)
                elif not request.result.done():
                    request.result.set_result(result)


def _fail(batch: Sequence[_Request[T, R]], error: Exception) -> None:
    for request in batch:
        if not request.result.done():
            request.result.set_exception(error)
