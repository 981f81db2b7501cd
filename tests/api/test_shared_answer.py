"""Callers that ask at the same time share an answer."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler

from tests.support.api import Api
from zenskar.api.app import create_probes
from zenskar.api.health import HealthReport, HealthStatus
from zenskar.api.server import serve
from zenskar.api.shared_answer import SharedAnswer
from zenskar.db.outbox import TopicDepth
from zenskar.errors import Unavailable
from zenskar.ops.state.system_state import SystemReading

_CALLERS = 40


class Question:
    """A question that is answered when a test says so."""

    def __init__(self) -> None:
        self.runs = 0
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.runs += 1
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return self.runs


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_callers_share_the_run_in_progress() -> None:
    question, clock = Question(), Clock()
    shared = SharedAnswer(question, seconds=5, clock=clock)
    asked = [asyncio.create_task(shared.get()) for _ in range(50)]
    await asyncio.sleep(0)
    asked[0].cancel()
    question.go_on.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [1] * 49


async def test_an_answer_is_kept_for_a_while() -> None:
    question, clock = Question(), Clock()
    question.go_on.set()
    shared = SharedAnswer(question, seconds=5, clock=clock)
    found = []
    for wait in (0, 4.9, 0.2, 4.9):
        clock.now += wait
        found.append(await shared.get())
    assert found == [1, 1, 2, 2]


async def test_a_slow_answer_is_kept_longer() -> None:
    question, clock = Question(), Clock()
    shared = SharedAnswer(question, seconds=5, clock=clock)
    first = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now += 3
    question.go_on.set()
    assert await first == 1
    clock.now += 29
    assert await shared.get() == 1
    clock.now += 2
    assert await shared.get() == 2


async def test_every_caller_gets_an_error_which_is_not_kept() -> None:
    question = Question()
    question.error = Unavailable("away")
    question.go_on.set()
    shared = SharedAnswer(question, seconds=5)
    found = await asyncio.gather(*(shared.get() for _ in range(3)), return_exceptions=True)
    assert found == [question.error] * 3
    assert question.runs == 1
    question.error = None
    assert await shared.get() == 2


@pytest.mark.parametrize("path", ["/metrics", "/health/ready"])
async def test_concurrent_requests_count_once(api: Api, path: str) -> None:
    runs: list[str] = []
    all_have_come = asyncio.Event()

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        came.append(request.path)
        if len(came) == _CALLERS:
            asyncio.get_running_loop().call_soon(all_have_come.set)
        return await handler(request)

    came: list[str] = []

    async def state() -> SystemReading:
        runs.append("state")
        await all_have_come.wait()
        depths = (TopicDepth("sync.outbound", "due", 7, 0.0),)
        return SystemReading({}, (), {}, {}, (), {}, depths, {})

    class Health:
        stopping = False

        async def live(self) -> HealthReport:
            raise AssertionError

        async def ready(self) -> HealthReport:
            runs.append("ready")
            await all_have_come.wait()
            return HealthReport(HealthStatus.OK)

    services = replace(api.services, state=state, health=Health())
    app = create_probes(services)
    app.middlewares.append(count)
    async with (
        serve(app, "127.0.0.1", 0, services.settings) as address,
        ClientSession(address) as client,
    ):
        answers = await asyncio.gather(*(client.get(path) for _ in range(_CALLERS)))
        texts = [await answer.text() for answer in answers]
    assert sorted(runs) == (["ready", "state"] if path == "/metrics" else ["ready"])
    if path == "/metrics":
        depth = 'zenskar_outbox_depth{state="due",topic="sync.outbound"} 7.0'
        assert all(depth in text for text in texts)
