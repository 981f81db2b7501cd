"""Admit batches one after another, so that concurrent batches keep the order of each key."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from zenskar.bus.port import Bus, Delivery


class KeyGate:
    """Admits a batch only when none of its keys is in progress.

    On a bus with `exclusive_batches`, a batch of at least `burst` messages admits no other.
    """

    def __init__(self, bus: Bus, *, burst: int) -> None:
        self._bus = bus
        self._burst = burst
        self._receiving = asyncio.Lock()
        self._in_progress: set[str] = set()
        self._left = asyncio.Event()
        self._alone: Sequence[Delivery] | None = None

    async def enter(self, receive: Callable[[], Awaitable[list[Delivery]]]) -> list[Delivery]:
        """Receive a batch, and return it once it is admitted; call `leave` after processing it."""
        await self._receiving.acquire()
        try:
            batch = await receive()
            await self._wait_for_keys(batch)
        except BaseException:
            self._receiving.release()
            raise
        self._in_progress |= {delivery.key for delivery in batch}
        if self._bus.exclusive_batches and len(batch) >= self._burst:
            self._alone = batch
        else:
            self._receiving.release()
        return batch

    async def _wait_for_keys(self, batch: Sequence[Delivery]) -> None:
        keys = {delivery.key for delivery in batch}
        try:
            while not self._in_progress.isdisjoint(keys):
                self._left.clear()
                await self._left.wait()
        except BaseException:
            await self._bus.requeue(batch)
            raise

    def leave(self, batch: Sequence[Delivery]) -> None:
        """Admit the batches that wait for this one."""
        self._in_progress.difference_update(delivery.key for delivery in batch)
        self._left.set()
        if batch is self._alone:
            self._alone = None
            self._receiving.release()
