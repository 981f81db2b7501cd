"""Addresses, cookies and forms of a hostile sender: none ends in a failure of the server."""

import asyncio
import re
from urllib.parse import quote

import pytest
from yarl import URL

from tests.support.console import open_console, token_of
from zenskar.console.site_map import ACTIONS, PAGES
from zenskar.model.scope import Scope

_PART = re.compile(r"\{\w+\}")


@pytest.mark.parametrize("hostile", ["\0", "\r\nX: 1", "\u202e", "9" * 5000, "x", "'\"--"])
async def test_no_part_of_an_address_makes_a_page_fail(database_url: str, hostile: str) -> None:
    async with open_console(database_url) as console, console.browser(Scope.ADMIN) as browser:
        token = token_of(await browser.page())
        part = quote(hostile, safe="")
        for each in (*PAGES, *ACTIONS):
            if "{" in each.path:
                address = URL(f"/console{_PART.sub(part, each.path)}", encoded=True)
                shown = await browser.client.get(address)
                assert shown.status in {400, 404}, each.path
                form = {"token": token, "reason": "x"}
                acted = await browser.client.post(address, data=form, allow_redirects=False)
                assert acted.status in {400, 404, 405}, each.path
        assert await console.flow.scalar("SELECT count(*) FROM connections") == 0
        assert await console.flow.scalar("SELECT count(*) FROM operator_actions") == 0


async def test_a_time_that_no_event_can_have_is_refused(database_url: str) -> None:
    async with open_console(database_url) as console, console.browser(Scope.READ) as browser:
        for time in ("0001-01-01", "0001-01-01T00:00%2B23:59", "9999-12-31T23:59-23:59"):
            for name in ("since", "until"):
                assert "A time must" in await browser.page(f"/events?{name}={time}", 400)


async def test_a_cookie_that_is_not_utf_8_is_no_session(database_url: str) -> None:
    async with open_console(database_url) as console, console.browser(Scope.READ) as browser:
        assert b"303" in await _status(console.address, b"zenskar_console=\xff")
        (session,) = browser.client.cookie_jar
        own = f"zenskar_console={session.value}".encode()
        assert b"200" in await _status(console.address, own + b"; zenskar_console_notice=\xff")


async def _status(address: str, cookie: bytes) -> bytes:
    """Return the first line of the answer to a request with this cookie."""
    url = URL(address)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"GET /console HTTP/1.1\r\nHost: console\r\nCookie: " + cookie + b"\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return line
