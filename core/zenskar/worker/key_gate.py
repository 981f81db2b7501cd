"""Lets batches in one after the other, so that several under way keep the order of each key."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from zenskar.bus.port import Bus, Delivery


class KeyGate:
    """Lets nobody in with a key that is under way, and where `crowds_alone` none beside a crowd.

    A `crowd` is the number of messages from which a batch is one.
    """

    def __init__(self, bus: Bus, *, crowd: int) -> None:
        self._bus = bus
        self._crowd = crowd
        self._taking = asyncio.Lock()
        self._under_way: set[str] = set()
        self._somebody_left = asyncio.Event()
        self._alone: Sequence[Delivery] | None = None

    async def enter(self, take: Callable[[], Awaitable[list[Delivery]]]) -> list[Delivery]:
        """Take a batch, and return it when it may be worked on; then it is to `leave`."""
        await self._taking.acquire()
        try:
            batch = await take()
            await self._wait_for_keys(batch)
        except BaseException:
            self._taking.release()
            raise
        self._under_way |= {delivery.key for delivery in batch}
        if self._bus.exclusive_batches and len(batch) >= self._crowd:
            self._alone = batch
        else:
            self._taking.release()
        return batch

    async def _wait_for_keys(self, batch: Sequence[Delivery]) -> None:
        keys = {delivery.key for delivery in batch}
        try:
            while not self._under_way.isdisjoint(keys):
                self._somebody_left.clear()
                await self._somebody_left.wait()
        except BaseException:
            await self._bus.requeue(batch)
            raise

    def leave(self, batch: Sequence[Delivery]) -> None:
        """Let in what waits for a batch."""
        self._under_way.difference_update(delivery.key for delivery in batch)
        self._somebody_left.set()
        if batch is self._alone:
            self._alone = None
            self._taking.release()
