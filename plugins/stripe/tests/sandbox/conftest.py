"""A running sandbox, clients for it and a receiver for its webhooks."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
import stripe
from aiohttp import web

from zenskar_stripe.sandbox import StripeSandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

PATIENCE = 10.0


class Clock:
    """A clock that tests set."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Received:
    """A received webhook request."""

    body: bytes
    headers: dict[str, str]
    event: dict[str, Any]


class Receiver:
    """A webhook endpoint that records requests and sends the configured answers."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: deque[int] = deque()
        self.gate: asyncio.Event | None = None
        self._changed = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._changed:
            self.received.append(Received(body, dict(request.headers), orjson.loads(body)))
            self._changed.notify_all()
        status = self.answers.popleft() if self.answers else 200
        if self.gate is not None:
            gate, self.gate = self.gate, None
            await gate.wait()
        # A client that follows redirects would end up at an address that accepts everything.
        return web.Response(status=status, headers={"Location": "/fine"})

    async def fine(self, _: web.Request) -> web.Response:
        return web.Response()

    async def wait_for(self, count: int) -> list[Received]:
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.received) >= count)
        return self.received

    @property
    def types(self) -> list[str]:
        return [each.event["type"] for each in self.received]

    @property
    def names(self) -> list[str]:
        return [each.event["data"]["object"]["name"] for each in self.received]


@dataclass(frozen=True)
class Hook:
    """Where a receiver listens and the secret it shares."""

    url: str
    secret: str
    receiver: Receiver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sandbox() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(webhook_retry_base=0.01) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def connect(http: aiohttp.ClientSession) -> Callable[..., Any]:
    """Opens the SDK's client for a sandbox."""

    def opened(sandbox: StripeSandbox, api_key: str | None = None) -> Any:
        client = stripe.StripeClient(
            api_key or sandbox.api_key,
            http_client=stripe.AIOHTTPClient(session=http),
            max_network_retries=0,
            base_addresses={"api": sandbox.base_url},
        )
        return client.v1

    return opened


@pytest.fixture
def v1(sandbox: StripeSandbox, connect: Callable[..., Any]) -> Any:
    """The SDK's client for the running sandbox."""
    return connect(sandbox)


@pytest.fixture
def call(
    sandbox: StripeSandbox, http: aiohttp.ClientSession
) -> Callable[..., Awaitable[tuple[int, Any, Any]]]:
    """Sends a raw request: status, JSON body, headers."""

    async def sent(
        method: str, path: str, data: Any = None, **headers: str
    ) -> tuple[int, Any, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("Authorization", f"Bearer {sandbox.api_key}")
        url = sandbox.base_url + path
        async with http.request(method, url, data=data, headers=named) as answer:
            return answer.status, await answer.json(), answer.headers

    return sent


@pytest.fixture
def control(
    sandbox: StripeSandbox, http: aiohttp.ClientSession
) -> Callable[..., Awaitable[tuple[int, Any]]]:
    """Sends a request to the control surface: status, JSON body."""

    async def sent(method: str, path: str, json: Any = None) -> tuple[int, Any]:
        url = f"{sandbox.base_url}/_sandbox/{path}"
        async with http.request(method, url, json=json) as answer:
            return answer.status, await answer.json()

    return sent


@pytest.fixture
async def hooks() -> AsyncIterator[Callable[[], Awaitable[Hook]]]:
    """Starts webhook receivers."""
    runners: list[web.AppRunner] = []

    async def started() -> Hook:
        receiver = Receiver()
        app = web.Application()
        app.router.add_post("/hook", receiver.handle)
        app.router.add_get("/fine", receiver.fine)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return Hook(f"http://{host}:{port}/hook", f"whsec_{len(runners)}", receiver)

    yield started
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def hook(sandbox: StripeSandbox, hooks: Callable[[], Awaitable[Hook]]) -> Hook:
    """A receiver to which the sandbox sends every event."""
    started = await hooks()
    sandbox.add_webhook_endpoint(started.url, started.secret)
    return started
