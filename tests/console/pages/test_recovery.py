"""The page of the recovery after a restore."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest_asyncio

from tests.support.console import OpenConsole, open_console
from tests.support.logged_bus import GatedDeleter, LoggedBus, restore, waiting_values
from zenskar.api.server import serve
from zenskar.model.actor import Actor
from zenskar.model.scope import Scope
from zenskar.ops.recover import Recovery

BACKUP = datetime(2026, 1, 1, tzinfo=UTC)
SINCE = {"since": "2026-01-01T00:00"}
REPEAT = "/recovery/repeat-deletes?since=2026-01-01T00:00"


@pytest_asyncio.fixture
async def console(database_url: str) -> AsyncIterator[OpenConsole]:
    async with open_console(database_url) as opened:
        yield opened


@pytest_asyncio.fixture
async def restored(console: OpenConsole) -> AsyncIterator[OpenConsole]:
    """Yield a console after a restore that has undone a delete."""
    flow = console.flow
    record_id = await flow.create()
    await flow.runtime.customers.delete(record_id, correlation_id="test")
    values = await waiting_values(flow)
    await restore(flow)
    logged = replace(flow.runtime, bus=LoggedBus(flow.runtime.bus, [values]))
    async with serve(logged.console(), "127.0.0.1", 0, logged.settings) as address:
        yield OpenConsole(address, flow)


async def test_lost_deletes_are_shown_and_repeated(restored: OpenConsole) -> None:
    record_id = str(await restored.flow.scalar("SELECT id FROM customers"))
    async with restored.browser(Scope.ADMIN) as browser:
        assert "Nothing was repeated yet" in await browser.page("/recovery")
        page = await browser.page("/recovery", params=SINCE)
        assert f"/console/records/customer/{record_id}" in page
        preview = await browser.page(REPEAT)
        assert "<dt>Records to delete</dt><dd><bdi>1</bdi></dd>" in preview
        assert f"customer {record_id}" in preview
        await browser.act(REPEAT, "wrong number", status=400, deletes="2")
        after = await browser.act(REPEAT, "a disk <b>was lost</b>")
        assert "1 of 1 records are deleted again." in after
        assert "a disk &lt;b&gt;was lost&lt;/b&gt;" in after
        assert "No delete was lost" in after
        assert "No lost delete is left" in await browser.page(REPEAT)
        audit = await browser.page("/audit?action=repeat_deletes")
        assert "deleted: 1" in audit
    assert await restored.flow.scalar("SELECT deleted_at IS NOT NULL FROM customers")


async def test_a_repetition_in_progress_is_counted_and_followed(console: OpenConsole) -> None:
    flow = console.flow
    for _ in range(3):
        await flow.runtime.customers.delete(await flow.create(), correlation_id="test")
    values = await waiting_values(flow)
    await restore(flow)
    gate = GatedDeleter(flow.runtime.customers.delete, after=2)
    bus = LoggedBus(flow.runtime.bus, [values])
    recovery = Recovery(flow.runtime.engine, bus, gate, progress_seconds=0.0)
    by = Actor("Ada", "a terminal", "INC-8")
    async with console.browser(Scope.ADMIN) as browser:
        assert "hx-trigger" not in await browser.page("/recovery")
        running = asyncio.create_task(recovery.repeat_deletes(BACKUP, by, "again"))
        await asyncio.wait_for(gate.reached.wait(), 10)
        page = await browser.page("/recovery")
        assert "<dt>Done</dt><dd>2 of 3</dd>" in page
        assert '<progress max="3" value="2"' in page
        assert "hx-trigger" in page
        assert "in progress" in page.partition('id="repeated"')[2]
        compared = await browser.page("/recovery", params=SINCE)
        assert "Deletes are being repeated" in compared
        assert "hx-trigger" not in compared
        gate.opened.set()
        await running
        page = await browser.page("/recovery")
        assert "3 of 3" in page.partition('id="repeated"')[2]
        assert "<progress" not in page


async def test_keys_in_force_and_pauses_are_shown(console: OpenConsole) -> None:
    async with console.browser(Scope.ADMIN) as browser:
        await browser.act("/connections/fake/pause", "an incident")
        page = await browser.page("/recovery", params=SINCE)
        assert "Later deletes are not known" in page
        keys = page.partition('id="keys"')[2]
        assert "<bdi>Grace</bdi>" in keys
        paused = page.partition('id="paused"')[2]
        assert "/console/connections/fake/resume" in paused


async def test_the_time_of_the_backup_is_checked(console: OpenConsole) -> None:
    async with console.browser(Scope.ADMIN) as browser:
        for since in ("yesterday", "2999-01-01T00:00"):
            await browser.page("/recovery", 400, params={"since": since})
        assert "time of the backup" in await browser.page("/recovery/repeat-deletes", 400)


async def test_other_scopes_do_not_see_the_page(console: OpenConsole) -> None:
    async with console.browser(Scope.WRITE) as browser:
        assert 'href="/console/recovery"' not in await browser.page()
        await browser.page("/recovery", 403)
        await browser.page(REPEAT, 403)
