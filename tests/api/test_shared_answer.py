"""One answer for all who ask the same."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from tests.support.api import Api
from zenskar.api.app import create_probes
from zenskar.api.health import HealthReport, HealthStatus
from zenskar.api.server import serve
from zenskar.api.shared_answer import SharedAnswer
from zenskar.errors import Unavailable


class Work:
    """Work that ends when a test says so."""

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


async def test_all_who_ask_meanwhile_share_one_run() -> None:
    work, clock = Work(), Clock()
    shared = SharedAnswer(work, seconds=5, clock=clock)
    asked = [asyncio.create_task(shared.get()) for _ in range(50)]
    await asyncio.sleep(0)
    asked[0].cancel()
    work.go_on.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [1] * 49


async def test_an_answer_is_kept_for_a_while() -> None:
    work, clock = Work(), Clock()
    work.go_on.set()
    shared = SharedAnswer(work, seconds=5, clock=clock)
    found = []
    for wait in (0, 4.9, 0.2, 4.9):
        clock.now += wait
        found.append(await shared.get())
    assert found == [1, 1, 2, 2]


async def test_what_took_long_is_kept_longer() -> None:
    work, clock = Work(), Clock()
    shared = SharedAnswer(work, seconds=5, clock=clock)
    first = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.now += 3
    work.go_on.set()
    assert await first == 1
    clock.now += 29
    assert await shared.get() == 1
    clock.now += 2
    assert await shared.get() == 2


async def test_an_error_is_told_to_all_and_not_kept() -> None:
    work = Work()
    work.error = Unavailable("away")
    work.go_on.set()
    shared = SharedAnswer(work, seconds=5)
    found = await asyncio.gather(*(shared.get() for _ in range(3)), return_exceptions=True)
    assert found == [work.error] * 3
    assert work.runs == 1
    work.error = None
    assert await shared.get() == 2


@pytest.mark.parametrize("path", ["/metrics", "/health/ready"])
async def test_many_who_ask_count_once(api: Api, path: str) -> None:
    runs: list[str] = []

    async def depth() -> dict[str, int]:
        runs.append("depth")
        await asyncio.sleep(0.05)
        return {"sync.outbound": 7}

    class Health:
        async def live(self) -> HealthReport:
            raise AssertionError

        async def ready(self) -> HealthReport:
            runs.append("ready")
            await asyncio.sleep(0.05)
            return HealthReport(HealthStatus.OK)

    services = replace(api.services, depth=depth, health=Health())
    async with (
        serve(create_probes(services), "127.0.0.1", 0, services.settings) as address,
        ClientSession(address) as client,
    ):
        answers = await asyncio.gather(*(client.get(path) for _ in range(40)))
        texts = [await answer.text() for answer in answers]
    assert len(runs) == 1
    if path == "/metrics":
        assert all('zenskar_outbox_depth{topic="sync.outbound"} 7.0' in text for text in texts)
