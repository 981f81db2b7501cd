"""The console beside a PostgreSQL that accepts connections and never answers."""

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.console import Browser, OpenConsole, open_console, token_of
from tests.support.frozen import FreezableServer, freezable_server
from tests.support.wait import until
from zenskar.api.app import create_app
from zenskar.api.server import serve
from zenskar.console.console import Console
from zenskar.console.page import READ_SECONDS, Action, ConsolePage, Done, Preview, Visit
from zenskar.console.site_map import PAGES
from zenskar.db.driver.engine import connections_in_use, ping
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
        assert "did not begin, and nothing was changed" in await answer.text()
        server.thaw()


async def test_an_action_without_a_login_does_not_begin_and_says_so(
    server: FreezableServer,
) -> None:
    async with open_console(server.url, auth="off") as console, console.browser() as browser:
        preview = await browser.page("/connections/fake/pause")
        server.freeze()
        seconds, page = await post(browser, "/connections/fake/pause", token_of(preview))
        assert seconds < _BOUND
        assert "did not begin, and nothing was changed" in page
        assert "Is PostgreSQL running" in page
        server.thaw()
        assert await console.flow.scalar("SELECT count(*) FROM operator_actions") == 0
        assert "is paused" in await browser.act("/connections/fake/pause")


async def test_an_action_that_hangs_after_its_begin_says_where_to_look(
    server: FreezableServer,
) -> None:
    async def preview(_visit: Visit) -> Preview:
        return Preview("Stop?", "It stops.", "Stop", "/console")

    async def run(visit: Visit) -> Done:
        server.freeze()
        await ping(visit.services.engine)
        return Done("Stopped.", "/console")

    async with open_console(server.url, auth="off", request_timeout_seconds=10) as console:
        runtime = console.flow.runtime
        services = runtime.services()
        action = Action("/stop", preview, run)
        app = create_app(services, [Console(services, actions=[action])])
        async with serve(app, "127.0.0.1", 0, runtime.settings) as address:
            small = OpenConsole(address, console.flow)
            async with small.browser() as browser:
                token = token_of(await browser.page("/stop"))
                _, page = await post(browser, "/stop", token)
        server.thaw()
    assert "Whether the action has run is not known" in page
    assert 'href="/console/audit"' in page.partition('class="trouble"')[2]


async def post(browser: Browser, path: str, token: str) -> tuple[float, str]:
    """Confirm an action that fails, and return its seconds and its page."""
    began = time.monotonic()
    form = {"token": token, "reason": "x"}
    answer = await browser.client.post(f"/console{path}", data=form)
    assert (answer.status, answer.content_type) == (503, "text/html")
    return time.monotonic() - began, await answer.text()


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
