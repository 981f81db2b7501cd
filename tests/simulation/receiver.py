"""The API of a world: it receives the webhooks, and has the world's clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.simulation.clock import Clock, WrongClock
from zenskar import WebhookRequest
from zenskar.errors import Unavailable
from zenskar.runtime import Runtime
from zenskar.sync.ingest.receiver import WebhookReceiver

if TYPE_CHECKING:
    from tests.simulation.world import World


def at_time(runtime: Runtime, clock: Clock, ours: WrongClock) -> Runtime:
    """Return a runtime with another clock."""
    context = replace(runtime.context, clock=ours, monotonic=clock)
    ingress = WebhookReceiver(context, runtime.bus, runtime.schemas["event"])
    return replace(runtime, context=context, ingress=ingress)


@asynccontextmanager
async def receiver(world: "World") -> AsyncIterator[str]:
    """Run the receiver of webhooks; return its address."""

    async def receive(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body, url = await request.read(), str(request.url)
        webhook = WebhookRequest(headers, body, world.ours(), url=url)
        if world.dies("webhook.received"):
            return web.Response(status=502)
        try:
            source = request.match_info["source"]
            await world.runtime.ingress.accept(source, webhook, "simulation")
        except Unavailable:
            return web.Response(status=503)
        return web.Response(status=502 if world.dies("webhook.published") else 200)

    app = web.Application()
    app.router.add_post("/{source}", receive)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))
