"""Fixtures of the tests of the Stripe integration."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from zenskar import Connection
from zenskar_stripe import StripeIntegration
from zenskar_stripe.sandbox import StripeSandbox

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Open = Callable[..., Awaitable[StripeIntegration]]
Serve = Callable[[Handler], Awaitable[str]]

SECRET = "whsec_test"
KEY = "sk_test_zenskar_sandbox"


def connect(**settings: object) -> StripeIntegration:
    """An integration that is not open."""
    given = {"api_key": KEY, "webhook_secret": SECRET, "rate_limit": 0.0, **settings}
    return StripeIntegration(Connection("stripe", given))


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens integrations, and closes them after the test."""
    made = []

    async def open_one(**settings: object) -> StripeIntegration:
        made.append(connect(**settings))
        await made[-1].open()
        return made[-1]

    yield open_one
    for each in made:
        await each.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[StripeSandbox]:
    """A sandbox of the test's own."""
    async with StripeSandbox(api_key=KEY) as running:
        yield running


@pytest.fixture
async def stripe(sandbox: StripeSandbox, opened: Open) -> StripeIntegration:
    """An integration that is connected with the sandbox."""
    return await opened(api_base=sandbox.base_url)


@pytest.fixture
async def served() -> AsyncIterator[Serve]:
    """Serves one handler for every path, for answers that no sandbox gives."""
    servers = []

    async def serve(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("")).rstrip("/")

    yield serve
    for each in servers:
        await each.close()
