"""The console on a whole runtime, with clients that have logged in."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse, ClientSession, CookieJar

from tests.support.flow import Flow, open_flow
from zenskar.api.server import serve
from zenskar.db import api_keys
from zenskar.db.driver.engine import in_transaction
from zenskar.model.scope import Scope

_TOKEN = re.compile(r'name="token" value="(\w+)"')


@dataclass
class Browser:
    """A client of the console that keeps cookies, without scripts."""

    client: ClientSession

    async def page(self, path: str = "", status: int = 200, **options: Any) -> str:
        """Return the HTML of a page after a check of its status."""
        response = await self.client.get(f"/console{path}", **options)
        html = await response.text()
        assert response.status == status, html
        return html

    async def log_in(self, key: str) -> ClientResponse:
        return await self.client.post("/console/login", data={"key": key}, allow_redirects=False)

    async def act(self, path: str, reason: str = "a test", status: int = 200, **fields: str) -> str:
        """Confirm the preview of an action with a reason, and return the page that follows."""
        kept = _hidden(await self.page(path))
        data = {**kept, "reason": reason, **fields}
        response = await self.client.post(f"/console{path}", data=data)
        html = await response.text()
        assert response.status == status, html
        return html


@dataclass
class OpenConsole:
    """A console on a real port, and the flow behind it."""

    address: str
    flow: Flow

    async def key(self, scope: Scope = Scope.ADMIN, name: str = "Grace") -> str:
        """Create an API key and return its text."""
        engine = self.flow.runtime.engine
        _, key = await in_transaction(engine, lambda c: api_keys.create(c, name, scope))
        return key

    @asynccontextmanager
    async def serve_again(self) -> AsyncIterator["OpenConsole"]:
        """Serve the console again, built from the present parts of the runtime."""
        runtime = self.flow.runtime
        async with serve(runtime.console(), "127.0.0.1", 0, runtime.settings) as address:
            yield OpenConsole(address, self.flow)

    @asynccontextmanager
    async def browser(self, scope: Scope | None = None) -> AsyncIterator[Browser]:
        """Yield a browser, logged in if a scope is given."""
        jar = CookieJar(unsafe=True)
        async with ClientSession(self.address, cookie_jar=jar) as client:
            browser = Browser(client)
            if scope is not None:
                assert (await browser.log_in(await self.key(scope))).status == 303
            yield browser


@asynccontextmanager
async def open_console(
    database_url: str, *sources: str, working: bool = False, **settings: Any
) -> AsyncIterator[OpenConsole]:
    """Open a console with a login unless the settings say otherwise."""
    async with (
        open_flow(database_url, *sources, working=working, **settings) as flow,
        OpenConsole("", flow).serve_again() as opened,
    ):
        yield opened


def token_of(html: str) -> str:
    """Return the token of the forms on a page."""
    return _TOKEN.findall(html)[0]


def _hidden(html: str) -> dict[str, str]:
    form = html[html.index('id="action"') :]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
