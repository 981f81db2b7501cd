"""Hold deliveries back and release them in another order."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zenskar.http.lookalike.background import Background
    from zenskar.http.lookalike.faults import Hit

_Item = TypeVar("_Item")


class Turn:
    """The place of a delivery: `begun` releases the delivery, `tried` releases the next one."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.tried = asyncio.Event()


class Reordering:
    """Batches by fault and endpoint; a batch is released when it is full, late or flushed."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._batches: dict[tuple[str, str], _Reordered] = {}

    def turn(self, hit: Hit, endpoint: str) -> Turn:
        """Return a place in the open batch."""
        key = (hit.id, endpoint)
        batch = self._batches.get(key)
        if batch is None:
            batch = self._batches[key] = _Reordered(hit)
            self._background.spawn(self._release(key, batch))
        turn = batch.join()
        if batch.full:
            self._complete(key)
        return turn

    def flush(self) -> None:
        """Release every batch, full or not."""
        for key in list(self._batches):
            self._complete(key)

    def clear(self) -> None:
        """Drop every batch; the deliveries were cancelled."""
        self._batches.clear()

    def _complete(self, key: tuple[str, str]) -> None:
        # Removed at once, so that the next delivery opens a new batch.
        self._batches.pop(key).complete.set()

    async def _release(self, key: tuple[str, str], batch: _Reordered) -> None:
        await batch.collected()
        if self._batches.get(key) is batch:
            del self._batches[key]
        for turn in batch.another_order():
            turn.begun.set()
            await turn.tried.wait()


class _Reordered:
    def __init__(self, hit: Hit) -> None:
        self.complete = asyncio.Event()
        self._fault = hit.fault
        self._turns: list[Turn] = []

    @property
    def full(self) -> bool:
        return len(self._turns) >= self._fault.size

    def join(self) -> Turn:
        turn = Turn()
        self._turns.append(turn)
        return turn

    async def collected(self) -> None:
        try:
            async with asyncio.timeout(self._fault.delay_seconds):
                await self.complete.wait()
        except TimeoutError:
            pass

    def another_order(self) -> list[Turn]:
        return shuffled(self._turns, random.Random(self._fault.seed))  # noqa: S311


def shuffled(items: Sequence[_Item], rng: random.Random) -> list[_Item]:
    """Return the items in another order than the present one."""
    order = list(range(len(items)))
    rng.shuffle(order)
    if order == sorted(order):
        order.reverse()
    return [items[place] for place in order]
