"""What is asked for at the same time is done at once."""

import asyncio
from collections.abc import Sequence

import pytest

from zenskar.bus.batcher import Batcher
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


async def ask(gather: Batcher[int, int], *numbers: int) -> "list[asyncio.Task[int]]":
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
    answers = await results(*await ask(Batcher(work, most=10), 1, -2, 3))
    assert (answers[0], answers[2]) == (2, 6)
    assert isinstance(answers[1], Unavailable)
    assert work.batches == [[1, -2, 3]]


async def test_what_comes_while_the_hand_is_busy_goes_together_up_to_the_most() -> None:
    work = Work()
    gather = Batcher(work, most=3)
    asked = await ask(gather, 1)
    await asyncio.sleep(0)
    asked += await ask(gather, 2, 3, 4, 5)
    assert work.batches == [[1]]
    work.may.set()
    assert await results(*asked) == [2, 4, 6, 8, 10]
    assert work.batches == [[1], [2, 3, 4], [5]]


async def turn() -> None:
    """Let the loop turn often enough for every hand that could come."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_hands_share_a_crowd() -> None:
    work = Work()
    gather = Batcher(work, most=100, receivers=2)
    asked = await ask(gather, *range(9))
    await turn()
    assert [len(batch) for batch in work.batches] == [5, 4]
    work.may.set()
    assert await results(*asked) == [2 * number for number in range(9)]


async def test_what_comes_while_all_hands_work_is_next() -> None:
    work = Work()
    gather = Batcher(work, most=100, receivers=2)
    asked = await ask(gather, *range(4))
    await turn()
    asked += await ask(gather, 4, 5)
    await turn()
    assert work.batches == [[0, 1], [2, 3]]
    work.may.set()
    assert await results(*asked) == [2 * number for number in range(6)]
    assert work.batches[2:] == [[4, 5]]


async def test_a_few_of_a_crowd_wait_until_nothing_is_under_way_or_the_rest_is_back() -> None:
    work = Work()
    gather = Batcher(work, most=100, receivers=2)
    work.may.set()
    await results(*await ask(gather, *range(10)))
    work.may.clear()
    asked = await ask(gather, *range(5))
    await turn()
    asked += await ask(gather, 5)
    await turn()
    assert work.batches[2:] == [[0, 1, 2, 3, 4]]
    asked += await ask(gather, 6, 7, 8)
    await turn()
    assert work.batches[3:] == [[5, 6, 7, 8]]
    work.may.set()
    assert await results(*asked) == [2 * number for number in range(9)]


async def test_a_hand_waits_some_turns_for_a_crowd_that_was_there_before() -> None:
    work = Work()
    gather = Batcher(work, most=100, turns=4)
    work.may.set()
    await results(*await ask(gather, 1, 2, 3))
    asked = await ask(gather, 4)
    await asyncio.sleep(0)
    asked += await ask(gather, 5)
    await asyncio.sleep(0)
    asked += await ask(gather, 6)
    assert await results(*asked) == [8, 10, 12]
    assert work.batches == [[1, 2, 3], [4, 5, 6]]


async def test_one_that_comes_alone_waits_for_nobody() -> None:
    work = Work()
    gather = Batcher(work, most=100, receivers=2, turns=4)
    asked = await ask(gather, 1)
    await asyncio.sleep(0)
    assert work.batches == [[1]]
    work.may.set()
    assert await results(*asked) == [2]


async def test_a_crowd_is_forgotten() -> None:
    work = Work()
    gather = Batcher(work, most=100, receivers=2)
    work.may.set()
    await results(*await ask(gather, *range(10)))
    for _ in range(200):
        await results(*await ask(gather, 1))
    work.may.clear()
    asked = await ask(gather, 2)
    await turn()
    asked += await ask(gather, 3)
    await turn()
    assert work.batches[-2:] == [[2], [3]]
    work.may.set()
    assert await results(*asked) == [4, 6]


async def test_whoever_asks_after_a_cancelled_hand_is_served() -> None:
    work = Work()
    gather = Batcher(work, most=100, turns=4)
    (asked,) = await ask(gather, 1)
    await asyncio.sleep(0)
    (hand,) = (task for task in asyncio.all_tasks() if task.get_name() == "gather")
    hand.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE):
            await asked
    work.may.set()
    assert await results(*await ask(gather, 2)) == [4]
