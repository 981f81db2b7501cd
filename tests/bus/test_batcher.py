"""Items that are submitted together are processed together."""

import asyncio
from collections.abc import Sequence

import pytest

from zenskar.bus.batcher import Batcher
from zenskar.errors import Unavailable

PATIENCE = 10.0


class Work:
    """Doubles numbers when it is released; keeps its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may = asyncio.Event()

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        await self.may.wait()
        return [2 * number if number >= 0 else Unavailable("below zero") for number in numbers]


async def submit(batcher: Batcher[int, int], *numbers: int) -> "list[asyncio.Task[int]]":
    """Submit each number and run the loop until all are submitted."""
    tasks = [asyncio.create_task(batcher.submit(number)) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def results(*tasks: "asyncio.Task[int]") -> list[int | BaseException]:
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_each_caller_gets_its_own_result() -> None:
    work = Work()
    work.may.set()
    found = await results(*await submit(Batcher(work, most=10), 1, -2, 3))
    assert (found[0], found[2]) == (2, 6)
    assert isinstance(found[1], Unavailable)
    assert work.batches == [[1, -2, 3]]


async def test_items_during_a_batch_form_the_next_batches_up_to_the_limit() -> None:
    work = Work()
    batcher = Batcher(work, most=3)
    tasks = await submit(batcher, 1)
    await asyncio.sleep(0)
    tasks += await submit(batcher, 2, 3, 4, 5)
    assert work.batches == [[1]]
    work.may.set()
    assert await results(*tasks) == [2, 4, 6, 8, 10]
    assert work.batches == [[1], [2, 3, 4], [5]]


async def turn() -> None:
    """Let the loop turn often enough for every hand that could come."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_receivers_share_a_burst() -> None:
    work = Work()
    batcher = Batcher(work, most=100, receivers=2)
    tasks = await submit(batcher, *range(9))
    await turn()
    assert [len(batch) for batch in work.batches] == [5, 4]
    work.may.set()
    assert await results(*tasks) == [2 * number for number in range(9)]


async def test_items_during_busy_receivers_form_the_next_batch() -> None:
    work = Work()
    batcher = Batcher(work, most=100, receivers=2)
    tasks = await submit(batcher, *range(4))
    await turn()
    tasks += await submit(batcher, 4, 5)
    await turn()
    assert work.batches == [[0, 1], [2, 3]]
    work.may.set()
    assert await results(*tasks) == [2 * number for number in range(6)]
    assert work.batches[2:] == [[4, 5]]


async def test_a_small_part_of_a_burst_waits_for_its_share_or_an_idle_batcher() -> None:
    work = Work()
    batcher = Batcher(work, most=100, receivers=2)
    work.may.set()
    await results(*await submit(batcher, *range(10)))
    work.may.clear()
    tasks = await submit(batcher, *range(5))
    await turn()
    tasks += await submit(batcher, 5)
    await turn()
    assert work.batches[2:] == [[0, 1, 2, 3, 4]]
    tasks += await submit(batcher, 6, 7, 8)
    await turn()
    assert work.batches[3:] == [[5, 6, 7, 8]]
    work.may.set()
    assert await results(*tasks) == [2 * number for number in range(9)]


async def test_a_receiver_waits_some_turns_for_an_expected_burst() -> None:
    work = Work()
    batcher = Batcher(work, most=100, turns=4)
    work.may.set()
    await results(*await submit(batcher, 1, 2, 3))
    tasks = await submit(batcher, 4)
    await asyncio.sleep(0)
    tasks += await submit(batcher, 5)
    await asyncio.sleep(0)
    tasks += await submit(batcher, 6)
    assert await results(*tasks) == [8, 10, 12]
    assert work.batches == [[1, 2, 3], [4, 5, 6]]


async def test_a_single_item_does_not_wait() -> None:
    work = Work()
    batcher = Batcher(work, most=100, receivers=2, turns=4)
    tasks = await submit(batcher, 1)
    await asyncio.sleep(0)
    assert work.batches == [[1]]
    work.may.set()
    assert await results(*tasks) == [2]


async def test_an_expected_burst_decays() -> None:
    work = Work()
    batcher = Batcher(work, most=100, receivers=2)
    work.may.set()
    await results(*await submit(batcher, *range(10)))
    for _ in range(200):
        await results(*await submit(batcher, 1))
    work.may.clear()
    tasks = await submit(batcher, 2)
    await turn()
    tasks += await submit(batcher, 3)
    await turn()
    assert work.batches[-2:] == [[2], [3]]
    work.may.set()
    assert await results(*tasks) == [4, 6]


async def test_an_item_after_a_cancelled_receiver_is_processed() -> None:
    work = Work()
    batcher = Batcher(work, most=100, turns=4)
    (tasks,) = await submit(batcher, 1)
    await asyncio.sleep(0)
    (hand,) = (task for task in asyncio.all_tasks() if task.get_name() == "batcher")
    hand.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE):
            await tasks
    work.may.set()
    assert await results(*await submit(batcher, 2)) == [4]
