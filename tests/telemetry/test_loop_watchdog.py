"""The code that blocks the event loop is reported, and no other code."""

import asyncio
import threading
from typing import Any

import pytest

from tests.support.fake import FakeIntegration
from tests.support.flow import open_flow
from tests.support.wait import DEADLINE_SECONDS, until
from zenskar.telemetry.loop_watchdog import Blockage, watched_loop

LIMIT_SECONDS = 0.2
PATIENT_SECONDS = 1.0
"""Longer than a busy machine keeps a loop waiting that has nothing to do."""
SECRET = "sk_live_51Secret"


class Reports:
    """Records the reports, and releases the code that waits for a report."""

    def __init__(self) -> None:
        self.found: list[Blockage] = []
        self._came = threading.Event()

    def __call__(self, found: Blockage) -> None:
        self.found.append(found)
        self._came.set()

    def block(self, secret: str = SECRET) -> bool:
        """Block the loop until that is reported."""
        assert secret
        return self._came.wait(DEADLINE_SECONDS)


class Log:
    """Records the errors, and releases the code that waits for an error."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))
        self.told.set()


@pytest.mark.parametrize(("package", "plugin"), [("tests", "slow"), ("other", None)])
async def test_it_is_named_by_the_package_of_its_code(package: str, plugin: str | None) -> None:
    reports = Reports()
    async with watched_loop({package: "slow"}, reports, limit_seconds=LIMIT_SECONDS):
        assert reports.block()
    (found,) = reports.found
    assert found.plugin == plugin
    assert found.seconds >= LIMIT_SECONDS
    assert any("test_loop_watchdog.py" in place and "in block" in place for place in found.stack)
    assert SECRET not in "".join(found.stack)


async def test_each_time_is_told_once() -> None:
    first, again = Reports(), threading.Event()

    def report(found: Blockage) -> None:
        first(found)
        if len(first.found) == 2:
            again.set()

    async with watched_loop({}, report, limit_seconds=LIMIT_SECONDS):
        assert first.block()
        # The loop stays blocked, which is the same blockage.
        threading.Event().wait(4 * LIMIT_SECONDS)
        assert len(first.found) == 1
        await asyncio.sleep(0)
        assert again.wait(DEADLINE_SECONDS)
    assert len(first.found) == 2


async def test_a_loop_that_only_waits_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    reports, asked = Reports(), 0
    loop = asyncio.get_running_loop()
    ask = loop.call_soon_threadsafe

    def counting(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return ask(*arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counting)

    async def asked_often() -> bool:
        return asked >= 3

    async with watched_loop({}, reports, limit_seconds=PATIENT_SECONDS):
        await until(asked_often)
    assert not reports.found


async def test_a_plugin_that_blocks_is_named_in_log_and_metrics(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    monkeypatch.setattr("zenskar.runtime._log", log)

    def block(self: Any, request: Any) -> None:
        assert log.told.wait(DEADLINE_SECONDS)

    monkeypatch.setattr(FakeIntegration, "verify_webhook", block)
    async with open_flow(database_url, working=False, loop_block_seconds=LIMIT_SECONDS) as flow:
        flow.systems["fake"].create(name="Ada")
        async with flow.runtime.watched_loop():
            await flow.runtime.ingress.accept("fake", flow.systems["fake"].webhooks[0], "test")
        counted = flow.runtime.metrics.registry.get_sample_value(
            "zenskar_loop_blocked_total", {"plugin": "fake"}
        )
    ((event, line),) = log.lines
    assert (event, line["plugin"]) == ("event_loop_blocked", "fake")
    assert counted == 1
