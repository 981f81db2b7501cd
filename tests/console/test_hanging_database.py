"""The console beside a PostgreSQL that accepts connections and never answers."""

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.console import Browser, OpenConsole, open_console
from tests.support.frozen import FreezableServer, freezable_server
from tests.support.wait import until
from zenskar.console.page import READ_SECONDS, ConsolePage
from zenskar.console.site_map import PAGES
from zenskar.db.driver.engine import connections_in_use
from zenskar.ids import new_id

_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
_BOUND = 2 * READ_SECONDS + 5
"""Pages at once wait for each other, and the machine of a test is slow."""


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FreezableServer]:
    async with freezable_server() as started:
        yield started


def path_of(page: ConsolePage) -> str:
    values = {"name": "fake", "entity": "customer", "place": "outbox/1"}
    return re.sub(r"{(\w+)[^}]*}", lambda found: values.get(found[1], new_id()), page.path)


async def seconds_of(browser: Browser, path: str, status: int) -> tuple[float, str]:
    began = time.monotonic()
    page = await browser.page(path, status)
    return time.monotonic() - began, page


async def test_every_page_fails_in_time_says_what_to_do_and_leaves_nothing(
    server: FreezableServer,
) -> None:
    async with open_console(server.url, auth="off") as console, console.browser() as browser:
        await browser.page()
        server.freeze()
        shown = [each for each in PAGES if each.path != "/system/doctor"]
        found = await asyncio.gather(*(seconds_of(browser, path_of(e), 503) for e in shown))
        for page, (seconds, html) in zip(shown, found, strict=True):
            assert (page.path, seconds < _BOUND) == (page.path, True)
            assert "Is PostgreSQL running" in html
            assert "Nothing was changed" in html
        doctor = await browser.page("/system/doctor")
        assert re.search(r"<bdi>database</bdi></th>\s*<td><span class=\"state bad\">", doctor)
        server.thaw()
        engine = console.flow.runtime.engine
        await until(lambda: asyncio.sleep(0, connections_in_use(engine) == 0))
        seconds, _ = await seconds_of(browser, "/records", 200)
        assert seconds < READ_SECONDS


async def test_the_login_fails_in_time(server: FreezableServer) -> None:
    async with open_console(server.url) as console, console.browser() as browser:
        assert (await browser.log_in(await console.key())).status == 303
        assert "Overview" in await browser.page()
        server.freeze()
        seconds, html = await seconds_of(browser, "", 503)
        assert seconds < _BOUND
        assert "Is PostgreSQL running" in html
        began = time.monotonic()
        answer = await browser.client.post("/console/connections/fake/pause", data={"reason": "x"})
        assert (answer.status, time.monotonic() - began < _BOUND) == (503, True)
        assert "Whether the action ran is not known" in await answer.text()
        server.thaw()


async def test_a_lock_stops_the_pages_of_its_table_alone(database_url: str) -> None:
    async with open_console(database_url, auth="off") as console, console.browser() as browser:
        async with console.flow.runtime.engine.connect() as db:
            await db.exec_driver_sql("BEGIN")
            await db.exec_driver_sql("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
            waiting = asyncio.create_task(seconds_of(browser, "/records", 503))
            await until(lambda: console.flow.scalar(_WAITING))
            seconds, _ = await seconds_of(browser, "/audit", 200)
            assert seconds < READ_SECONDS
            seconds, html = await waiting
            assert (seconds < _BOUND, "hold a lock" in html) == (True, True)
            await until(lambda: _nobody_waits(console))
            await db.exec_driver_sql("ROLLBACK")
        await browser.page("/records")


async def _nobody_waits(console: OpenConsole) -> bool:
    return await console.flow.scalar(_WAITING) == 0
