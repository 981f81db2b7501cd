"""The time that a request has."""

import asyncio

from zenskar.api.http.request_limits import Deadlines

PATIENCE = 10.0


async def work(deadlines: Deadlines, seconds: float | None) -> str:
    """Do what everything that a request passes through does with its deadline."""
    task = deadlines.begin()
    try:
        await asyncio.wait_for(asyncio.Event().wait(), seconds or PATIENCE)
    except asyncio.CancelledError:
        if not deadlines.was_late(task):
            raise
        return "late"
    finally:
        deadlines.end(task)
    return "ended"


async def outcome(work: "asyncio.Task[str]") -> str:
    async with asyncio.timeout(PATIENCE):
        (found,) = await asyncio.gather(work, return_exceptions=True)
    return found if isinstance(found, str) else type(found).__name__


async def test_each_request_has_its_own_time() -> None:
    deadlines = Deadlines(0.1)
    first = asyncio.create_task(work(deadlines, None))
    quick = asyncio.create_task(work(deadlines, 0.01))
    assert await outcome(quick) == "TimeoutError"
    later = asyncio.create_task(work(deadlines, None))
    assert await outcome(first) == "late"
    assert await outcome(later) == "late"
    assert await outcome(asyncio.create_task(work(deadlines, None))) == "late"


async def test_whoever_else_ends_a_request_is_heard() -> None:
    deadlines = Deadlines(PATIENCE)
    task = asyncio.create_task(work(deadlines, None))
    await asyncio.sleep(0)
    task.cancel()
    assert await outcome(task) == "CancelledError"


async def test_a_deadline_leaves_no_mark_on_the_task() -> None:
    assert await work(Deadlines(0.01), None) == "late"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
