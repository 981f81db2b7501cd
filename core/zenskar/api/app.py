"""The application: routes, what every request passes through, and the server of both."""

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter

from zenskar.api.http.auth import KeyRing, LoginThrottle
from zenskar.api.http.clients import Clients, LocalHosts
from zenskar.api.http.openapi import Description
from zenskar.api.http.pending import PendingBodies
from zenskar.api.http.pipeline import RequestPipeline
from zenskar.api.http.protocol import Server
from zenskar.api.http.router import HttpRouter
from zenskar.api.http.routes import Resource, Route
from zenskar.api.resources.connections import Connections
from zenskar.api.resources.customers import Customers
from zenskar.api.resources.dead_letters import DeadLetterRoutes
from zenskar.api.resources.erasures import Erasures
from zenskar.api.resources.metrics import MetricsPage
from zenskar.api.resources.pages import StaticPage
from zenskar.api.resources.probes import Probes
from zenskar.api.resources.sync_events import SyncEvents
from zenskar.api.resources.webhooks import Webhooks
from zenskar.api.services import ApiServices


class App:
    """Answers requests by its routes.

    It stands in for `web.Application`, whose router, middlewares and signals are made for every
    need, and cost more than to check a webhook's signature.
    """

    def __init__(
        self, routes: Sequence[Route], passage: RequestPipeline, max_body_bytes: int
    ) -> None:
        self.routes = tuple(routes)
        self._routing = HttpRouter(self.routes)
        self._passage = passage
        self._max_body_bytes = max_body_bytes

    def server(self, **options: Any) -> web.Server:
        """Return aiohttp's server of this application; `options` are those of its protocol."""
        return Server(self.answer, request_factory=self._request, **options)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        return await self._passage.through(request, self._routing.find(request))

    def _request(
        self,
        message: Any,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            task.get_loop(),
            client_max_size=self._max_body_bytes,
        )


def create_app(services: ApiServices) -> App:
    """Return the API, ready to be served."""
    locked = services.settings.auth == "required"
    keys = KeyRing(services.engine, LoginThrottle()) if locked else None
    return _app(services, resources(services), keys)


def create_probes(services: ApiServices) -> App:
    """Return what a worker serves: whether it is well, and its metrics."""
    return _app(services, [Probes(services), MetricsPage(services)], keys=None)


def resources(services: ApiServices) -> Sequence[Resource]:
    """Return everything that has routes."""
    described: list[Resource] = [
        Customers(services),
        Erasures(services),
        Webhooks(services),
        SyncEvents(services),
        DeadLetterRoutes(services),
        Connections(services),
        Probes(services),
        MetricsPage(services),
        StaticPage("/docs", "docs.html", "The description of the API, to be read"),
        StaticPage("/console", "console.html", "The operations console"),
    ]
    return [*described, Description(version("zenskar"), described)]


def _app(services: ApiServices, described: Sequence[Resource], keys: KeyRing | None) -> App:
    settings = services.settings
    passage = RequestPipeline(
        services.metrics,
        timeout_seconds=settings.request_timeout_seconds,
        clients=Clients(settings.trusted_proxies),
        keys=keys,
        hosts=LocalHosts(settings.allowed_hosts) if settings.auth == "off" else None,
        pending=PendingBodies(settings.max_pending_body_bytes),
    )
    routes = [route for resource in described for route in resource.routes()]
    return App(routes, passage, settings.max_body_bytes)
