"""Fixtures of the tests of the Salesforce integration and its sandbox."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from zenskar import Connection
from zenskar_salesforce import SalesforceIntegration
from zenskar_salesforce.sandbox import APP, SalesforceSandbox, settings_of

NOW = 1_800_000_000.0
"""The time of the sandbox's clock when a test starts."""
BASE = "/services/data/v66.0"
COMPOSITE = f"{BASE}/composite"
ADA = {"LastName": "Lovelace", "FirstName": "Ada", "Email": "ada@example.com"}


@dataclass
class Reply:
    """An answer of the sandbox."""

    status: int
    body: Any
    headers: Any

    @property
    def codes(self) -> list[str]:
        return [each["errorCode"] for each in self.body]


class Caller:
    """Calls a sandbox with a valid token."""

    def __init__(self, sandbox: SalesforceSandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox, self._http = sandbox, http
        self.token = ""

    async def log_in(self, **form: str) -> Reply:
        given = {
            "grant_type": "client_credentials",
            "client_id": APP.client_id,
            "client_secret": APP.client_secret,
            **form,
        }
        reply = await self.raw("POST", "/services/oauth2/token", data=given)
        self.token = reply.body.get("access_token", "")
        return reply

    async def call(
        self, method: str, path: str, body: Any = None, headers: Any = None, **params: str
    ) -> Reply:
        given = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return await self.raw(method, BASE + path, json=body, headers=given, params=params)

    async def raw(self, method: str, path: str, **options: Any) -> Reply:
        async with self._http.request(method, self.sandbox.base_url + path, **options) as answer:
            body = await answer.json() if answer.content_type == "application/json" else None
            return Reply(answer.status, body, answer.headers)

    async def create(self, **values: Any) -> str:
        reply = await self.call("POST", "/sobjects/Contact", {**ADA, **values})
        assert reply.status == 201, reply.body
        return str(reply.body["id"])

    async def query(self, text: str, kind: str = "query") -> Any:
        reply = await self.call("GET", f"/{kind}", q=text)
        assert reply.status == 200, reply.body
        return reply.body


@pytest.fixture
async def sandbox() -> AsyncIterator[SalesforceSandbox]:
    """A sandbox of the test's own, whose clock stands."""
    async with SalesforceSandbox(clock=lambda: NOW) as running:
        yield running


@pytest.fixture
async def caller(sandbox: SalesforceSandbox) -> AsyncIterator[Caller]:
    """A caller that is logged in."""
    async with aiohttp.ClientSession() as http:
        made = Caller(sandbox, http)
        await made.log_in()
        yield made


@pytest.fixture
async def has_codes() -> AsyncIterator[Caller]:
    """A caller that is logged in to an org with State and Country Picklists."""
    async with SalesforceSandbox(has_codes=True) as sandbox, aiohttp.ClientSession() as http:
        made = Caller(sandbox, http)
        await made.log_in()
        yield made


def settings_for(sandbox: SalesforceSandbox, **changes: Any) -> dict[str, Any]:
    """The settings of a connection to a sandbox, with its defaults."""
    defaults = {each.name: each.default for each in SalesforceIntegration.settings}
    return {**defaults, **settings_of(sandbox), **changes}


@pytest.fixture
async def salesforce(sandbox: SalesforceSandbox) -> AsyncIterator[SalesforceIntegration]:
    """An integration that is connected with the sandbox."""
    made = SalesforceIntegration(Connection("salesforce", settings_for(sandbox)))
    yield made
    await made.close()
