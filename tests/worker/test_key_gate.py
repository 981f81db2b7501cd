"""Several batches in progress in one process."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from zenskar.bus.port import Delivery
from zenskar.worker.key_gate import KeyGate

Take = Callable[[], Awaitable[list[Delivery]]]


class Bus:
    """Remembers the keys of requeued messages."""

    def __init__(self, *, exclusive_batches: bool) -> None:
        self.exclusive_batches = exclusive_batches
        self.given_back: list[str] = []

    async def requeue(self, batch: list[Delivery]) -> None:
        self.given_back += [delivery.key for delivery in batch]


def batch(*keys: str) -> Take:
    async def take() -> list[Delivery]:
        return [Delivery("sync.inbound", key, b"", 1) for key in keys]

    return take


def key_gate(*, exclusive_batches: bool = True) -> tuple[KeyGate, Bus]:
    bus = Bus(exclusive_batches=exclusive_batches)
    return KeyGate(bus, burst=3), bus  # type: ignore[arg-type]


async def blocked(task: "asyncio.Task[list[Delivery]]") -> bool:
    """Return whether a task still waits once every other task has run."""
    for _ in range(10):
        await asyncio.sleep(0)
    return not task.done()


async def test_batches_without_a_common_key_are_in_progress_together() -> None:
    door, _ = key_gate()
    await door.enter(batch("a", "b"))
    assert len(await door.enter(batch("c"))) == 1


async def test_a_batch_waits_for_a_key_that_is_in_progress() -> None:
    door, _ = key_gate()
    first = await door.enter(batch("a", "b"))
    second = asyncio.create_task(door.enter(batch("b", "c")))
    assert await blocked(second)
    door.leave(first)
    assert [delivery.key for delivery in await second] == ["b", "c"]


async def test_a_batch_that_waits_for_a_key_is_not_overtaken() -> None:
    door, _ = key_gate()
    first = await door.enter(batch("a"))
    second = asyncio.create_task(door.enter(batch("a")))
    assert await blocked(second)
    third = asyncio.create_task(door.enter(batch("z")))
    assert await blocked(third)
    door.leave(first)
    await asyncio.gather(second, third)


@pytest.mark.parametrize("exclusive_batches", [True, False])
async def test_a_burst_is_alone_where_other_workers_take_the_rest(
    *, exclusive_batches: bool
) -> None:
    door, _ = key_gate(exclusive_batches=exclusive_batches)
    burst = await door.enter(batch("a", "b", "c"))
    next_one = asyncio.create_task(door.enter(batch("z")))
    assert await blocked(next_one) is exclusive_batches
    door.leave(burst)
    await next_one


async def test_a_batch_cancelled_while_it_waits_is_requeued() -> None:
    door, bus = key_gate()
    first = await door.enter(batch("a"))
    second = asyncio.create_task(door.enter(batch("a", "b")))
    assert await blocked(second)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert bus.given_back == ["a", "b"]
    door.leave(first)
    assert len(await door.enter(batch("a"))) == 1


async def test_the_next_one_may_take_when_taking_failed() -> None:
    door, _ = key_gate()

    async def fail() -> list[Delivery]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await door.enter(fail)
    assert len(await door.enter(batch("a"))) == 1
