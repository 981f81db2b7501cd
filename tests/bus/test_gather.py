"""What is asked for at the same time is done at once."""

import asyncio
from collections.abc import Sequence

import pytest

from zenskar.bus.gather import Gather
from zenskar.errors import Unavailable

PATIENCE = 10.0


class Work:
    """Doubles numbers, once it may; keeps the batches that it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may = asyncio.Event()

    async def __call__(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        await self.may.wait()
        return [2 * number if number >= 0 else Unavailable("below zero") for number in numbers]


async def ask(gather: Gather[int, int], *numbers: int) -> "list[asyncio.Task[int]]":
    """Ask for each, and let the loop turn until all have been."""
    asked = [asyncio.create_task(gather.add(number)) for number in numbers]
    await asyncio.sleep(0)
    return asked


async def results(*asked: "asyncio.Task[int]") -> list[int | BaseException]:
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*asked, return_exceptions=True)


async def test_each_gets_its_own_answer() -> None:
    work = Work()
    work.may.set()
    answers = await results(*await ask(Gather(work, most=10), 1, -2, 3))
    assert (answers[0], answers[2]) == (2, 6)
    assert isinstance(answers[1], Unavailable)
    assert work.batches == [[1, -2, 3]]


async def test_what_comes_while_the_hand_is_busy_goes_together_up_to_the_most() -> None:
    work = Work()
    gather = Gather(work, most=3)
    asked = await ask(gather, 1)
    await asyncio.sleep(0)
    asked += await ask(gather, 2, 3, 4, 5)
    assert work.batches == [[1]]
    work.may.set()
    assert await results(*asked) == [2, 4, 6, 8, 10]
    assert work.batches == [[1], [2, 3, 4], [5]]


async def test_free_hands_share_what_waits() -> None:
    work = Work()
    gather = Gather(work, most=100, hands=3)
    asked = await ask(gather, *range(10))
    for _ in range(10):
        await asyncio.sleep(0)
    assert [len(batch) for batch in work.batches] == [4, 3, 3]
    asked += await ask(gather, 10, 11)
    assert len(work.batches) == 3
    work.may.set()
    assert await results(*asked) == [2 * number for number in range(12)]
    assert len(work.batches) == 4


async def test_a_batch_waits_some_turns_for_company() -> None:
    work = Work()
    gather = Gather(work, most=100, turns=4)
    asked = await ask(gather, 1)
    asked += await ask(gather, 2)
    asked += await ask(gather, 3)
    work.may.set()
    assert await results(*asked) == [2, 4, 6]
    assert work.batches == [[1, 2, 3]]


async def test_whoever_asks_after_a_cancelled_hand_is_served() -> None:
    work = Work()
    gather = Gather(work, most=100, turns=4)
    (asked,) = await ask(gather, 1)
    await asyncio.sleep(0)
    (hand,) = (task for task in asyncio.all_tasks() if task.get_name() == "gather")
    hand.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE):
            await asked
    work.may.set()
    assert await results(*await ask(gather, 2)) == [4]
