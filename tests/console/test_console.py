"""The console: its login, its sessions, its forms, and its headers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from tests.support.api import open_api
from tests.support.console import Browser, OpenConsole, open_console, token_of
from zenskar.api.app import create_app
from zenskar.api.server import serve
from zenskar.console import pages
from zenskar.console.console import Console
from zenskar.console.page import Action, ConsolePage, Done, Preview, Visit
from zenskar.console.renderer import POLICY
from zenskar.db import api_keys
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import StateConflict
from zenskar.model.scope import Scope


@pytest_asyncio.fixture
async def console(database_url: str) -> AsyncIterator[OpenConsole]:
    async with open_console(database_url) as opened:
        yield opened


async def test_a_key_opens_a_session_and_a_logout_ends_it(console: OpenConsole) -> None:
    async with console.browser() as browser:
        login = await browser.page()
        assert "Log in with an API key" in login
        answer = await browser.log_in(await console.key(Scope.READ, "Grace <script>"))
        cookie = answer.headers["Set-Cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/console"))
        page = await browser.page()
        assert "Grace &lt;script&gt;" in page
        assert (await browser.client.post("/console/logout", data={})).status == 403
        await browser.client.post("/console/logout", data={"token": token_of(page)})
        assert "Log in with an API key" in await browser.page()
    assert await console.flow.scalar("SELECT count(*) FROM console_sessions") == 0


async def test_a_session_ends_with_its_key(console: OpenConsole) -> None:
    async with console.browser(Scope.ADMIN) as browser:
        assert "Overview" in await browser.page()
        engine = console.flow.runtime.engine
        (key,) = await in_transaction(engine, api_keys.read_all)
        await in_transaction(engine, lambda c: api_keys.revoke(c, key.prefix))
        assert "Log in with an API key" in await browser.page()
        poll = await browser.client.get("/console", headers={"HX-Request": "true"})
        assert (poll.status, poll.headers["HX-Refresh"]) == (401, "true")


@pytest.mark.parametrize("column", ["created_at", "seen_at"])
async def test_a_session_ends_with_time(console: OpenConsole, column: str) -> None:
    async with console.browser(Scope.ADMIN) as browser:
        async with console.flow.runtime.engine.connect() as db:
            await db.exec_driver_sql(
                f"UPDATE console_sessions SET {column} = now() - interval '13 hours'"
            )
        assert "Log in with an API key" in await browser.page()


async def test_wrong_keys_are_throttled_and_a_right_key_is_not(console: OpenConsole) -> None:
    wrong = f"zsk_{'a' * 8}_{'b' * 43}"
    async with console.browser() as browser:
        statuses = [(await browser.log_in(wrong)).status for _ in range(11)]
        assert statuses == [401] * 10 + [429]
        refused = await (await browser.log_in("Bearer")).text()
        assert "Too many wrong API keys came from this address." in refused
        assert (await browser.log_in(await console.key())).status == 303


async def test_wrong_keys_at_the_login_and_at_the_api_are_counted_together(
    console: OpenConsole,
) -> None:
    wrong, runtime = f"zsk_{'a' * 8}_{'b' * 43}", console.flow.runtime
    served = serve(runtime.api(), "127.0.0.1", 0, runtime.settings)
    async with console.browser() as apart, served as address, ClientSession(address) as client:
        headers = {"Authorization": f"Bearer {wrong}"}
        statuses = [(await client.get("/customers", headers=headers)).status for _ in range(5)]
        for browser in (apart, Browser(client)):
            statuses += [(await browser.log_in(wrong)).status for _ in range(3)]
        assert statuses == [401] * 10 + [429]


async def test_the_login_leads_back_to_the_page_and_nowhere_else(console: OpenConsole) -> None:
    key = await console.key()
    async with console.browser() as browser:
        first = await browser.client.get("/console/x?y=1", allow_redirects=False)
        assert first.headers["Location"] == "/console/login?next=/console/x%3Fy%3D1"
        for wanted, expected in {
            "/console/x?y=1": "/console/x?y=1",
            "https://evil.example": "/console",
            "//evil.example": "/console",
            "/console\\@evil.example": "/console",
            "/consolex": "/console",
        }.items():
            answer = await browser.client.post(
                "/console/login", params={"next": wanted}, data={"key": key}, allow_redirects=False
            )
            assert answer.headers["Location"] == expected


async def test_a_link_from_another_site_finds_the_session(console: OpenConsole) -> None:
    """A browser sends no strict cookie with the link, but with the reload."""
    async with console.browser() as browser:
        page = await browser.page(headers={"Sec-Fetch-Site": "cross-site"})
        assert 'http-equiv="refresh"' in page


async def test_pages_have_a_strict_policy_and_files_are_kept(console: OpenConsole) -> None:
    async with console.browser(Scope.READ) as browser:
        response = await browser.client.get("/console")
        assert response.headers["Content-Security-Policy"] == POLICY
        assert "unsafe" not in POLICY
        assert response.headers["Cache-Control"] == "no-store"
        html = await response.text()
        files = {part.split('"')[0] for part in html.split('"/console/static/')[1:]}
        assert len(files) == 9
        for file in files:
            found = await browser.client.get(f"/console/static/{file}")
            assert found.status == 200
            assert "immutable" in found.headers["Cache-Control"]
        for path in ("console.py", "../console.py", "vendor/VERSIONS"):
            await browser.page(f"/static/{path}", 404)


async def test_an_unknown_page_is_a_page(console: OpenConsole) -> None:
    async with console.browser(Scope.READ) as browser:
        assert "Nothing here" in await browser.page("/nothing/at/all", 404)
        assert "Overview" in await browser.page("/")


async def test_the_api_serves_the_console_unless_it_has_a_port(database_url: str) -> None:
    async with open_api(database_url, console_port=0) as api:
        assert (await api.client.get("/console")).status == 404
        services = api.services
        app = create_app(services, [Console(services)])
        served = serve(app, "127.0.0.1", 0, services.settings)
        async with served as address, ClientSession(address) as client:
            page = await client.get("/console")
            assert "no login on loopback" in await page.text()
            assert (await client.get("/console", headers={"Host": "evil.example"})).status == 403


async def _nothing(_visit: Visit) -> Preview:
    return Preview(
        "Stop <b>it</b>", "Stops it.", "Stop", "/console", counts=[("Calls", "3")], kept={"n": "3"}
    )


async def _stop(visit: Visit) -> Done:
    if visit.form["n"] != "3":
        raise StateConflict("the number has changed")
    return Done(f"Stopped by {visit.actor.name}: {visit.reason}", "/console/names")


async def _names(_visit: Visit) -> dict[str, Any]:
    return {"reads": True, "problem": {"status": "a\x00b\u202ec", "detail": "<img src=x>"}}


PAGES = (ConsolePage("/names", "trouble.html", _names),)
ACTIONS = (Action("/stop", _nothing, _stop, scope=Scope.WRITE),)


@pytest_asyncio.fixture
async def small(database_url: str) -> AsyncIterator[OpenConsole]:
    """Yield a console with one page and one action."""
    async with open_console(database_url) as opened:
        runtime = opened.flow.runtime
        app = create_app(runtime.services(), [Console(runtime.services(), PAGES, ACTIONS)])
        async with serve(app, "127.0.0.1", 0, runtime.settings) as address:
            yield OpenConsole(address, opened.flow)


async def test_an_action_shows_a_preview_needs_a_reason_and_reports(small: OpenConsole) -> None:
    async with small.browser(Scope.WRITE) as browser:
        preview = await browser.page("/stop")
        assert "Stop &lt;b&gt;it&lt;/b&gt;" in preview
        assert "<dt>Calls</dt><dd><bdi>3</bdi></dd>" in preview
        assert "a reason is needed" in (await browser.act("/stop", reason=" ", status=400)).lower()
        assert "The number has changed." in await browser.act("/stop", n="4", status=409)
        after = await browser.act("/stop", reason="too loud & <late>")
        assert "Stopped by API key" in after
        assert "too loud &amp; &lt;late&gt;" in after
        assert "too loud" not in await browser.page("/names")


async def test_an_action_after_the_end_of_the_session_changes_nothing_and_is_shown_again(
    small: OpenConsole,
) -> None:
    async with small.browser(Scope.WRITE) as browser:
        form = {"reason": "x", "n": "3", "token": token_of(await browser.page("/names"))}
        async with small.flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("DELETE FROM console_sessions")
        answer = await browser.client.post("/console/stop?a=1", data=form)
        page = await answer.text()
        assert "nothing was changed" in page
        assert "Stopped by" not in page
        key = await small.key(Scope.WRITE)
        again = await browser.client.post(answer.url, data={"key": key})
        assert (again.url.path, again.url.query_string) == ("/console/stop", "a=1")
        assert "<dt>Calls</dt><dd><bdi>3</bdi></dd>" in await again.text()


async def test_an_action_needs_its_scope_and_the_token_of_the_session(small: OpenConsole) -> None:
    async with small.browser(Scope.READ) as browser:
        assert "this needs a key of the scope write" in (await browser.page("/stop", 403)).lower()
        token = token_of(await browser.page("/names"))
        data = {"reason": "x", "n": "3", "token": token}
        assert (await browser.client.post("/console/stop", data=data)).status == 403
    async with small.browser(Scope.WRITE) as other:
        answer = await other.client.post("/console/stop", data=data)
        assert (answer.status, "older than your session" in await answer.text()) == (403, True)
        form = {**data, "token": token_of(await other.page("/names"))}
        foreign = {"Origin": "https://evil.example"}
        answer = await other.client.post("/console/stop", data=form, headers=foreign)
        assert answer.status == 403


async def test_texts_are_escaped_and_control_characters_are_visible(small: OpenConsole) -> None:
    async with small.browser(Scope.READ) as browser:
        page = await browser.page("/names")
    assert "<img" not in page.split("<main")[1]
    assert "a[U+0000]b[U+202E]c" in page


def test_every_page_has_its_tests() -> None:
    modules = {path.stem for path in Path(pages.__file__).parent.glob("[!_]*.py")}
    tested = (Path(__file__).parent / "pages").glob("test_*.py")
    assert {path.stem.removeprefix("test_") for path in tested} == modules
