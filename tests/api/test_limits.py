"""The time that a request has."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from zenskar.api.limits import Deadlines
from zenskar.api.routing import Routing

PATIENCE = 10.0


def request() -> web.BaseRequest:
    made = make_mocked_request("GET", "/")
    Routing([]).find(made)
    return made


async def work(deadlines: Deadlines, seconds: float | None) -> str:
    with deadlines.of(request()):
        await asyncio.wait_for(asyncio.Event().wait(), seconds or PATIENCE)
    return "ended"


async def outcome(work: "asyncio.Task[str]") -> str:
    async with asyncio.timeout(PATIENCE):
        return type((await asyncio.gather(work, return_exceptions=True))[0]).__name__


async def test_each_request_has_its_own_time() -> None:
    deadlines = Deadlines(0.1)
    first = asyncio.create_task(work(deadlines, None))
    quick = asyncio.create_task(work(deadlines, 0.01))
    assert await outcome(quick) == "TimeoutError"
    later = asyncio.create_task(work(deadlines, None))
    assert await outcome(first) == "HTTPServiceUnavailable"
    assert await outcome(later) == "HTTPServiceUnavailable"
    assert await outcome(asyncio.create_task(work(deadlines, None))) == "HTTPServiceUnavailable"


async def test_whoever_else_ends_a_request_is_heard() -> None:
    deadlines = Deadlines(PATIENCE)
    task = asyncio.create_task(work(deadlines, None))
    await asyncio.sleep(0)
    task.cancel()
    assert await outcome(task) == "CancelledError"


async def test_a_deadline_leaves_no_mark_on_the_task() -> None:
    with pytest.raises(web.HTTPException), Deadlines(0.01).of(request()):
        await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
