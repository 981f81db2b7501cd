"""The application: resources, and what every request passes through."""

from collections.abc import Sequence
from importlib.metadata import version

from aiohttp import web

from zenskar.api.auth import KeyRing, Throttle
from zenskar.api.connections import Connections
from zenskar.api.customers import Customers
from zenskar.api.dead_letters import DeadLetters
from zenskar.api.metrics import MetricsPage
from zenskar.api.openapi import Description
from zenskar.api.pages import Page
from zenskar.api.passage import Passage
from zenskar.api.probes import Probes
from zenskar.api.routes import Resource, Route
from zenskar.api.services import ApiServices
from zenskar.api.sync_events import SyncEvents
from zenskar.api.webhooks import Webhooks


def create_app(services: ApiServices) -> web.Application:
    """Return the application, ready to be served."""
    routes = [route for resource in resources(services) for route in resource.routes()]
    settings = services.settings
    keys = KeyRing(services.engine, Throttle()) if settings.auth == "required" else None
    passage = Passage(
        services.metrics,
        timeout_seconds=settings.request_timeout_seconds,
        keys=keys,
        public=frozenset(route.handler for route in routes if route.public),
    )
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[passage.through])
    _add(app, routes)
    app.on_response_prepare.append(_set_headers)
    return app


def resources(services: ApiServices) -> Sequence[Resource]:
    """Return everything that has routes."""
    described: list[Resource] = [
        Customers(services),
        Webhooks(services),
        SyncEvents(services),
        DeadLetters(services),
        Connections(services),
        Probes(services),
        MetricsPage(services),
        Page("/docs", "docs.html", "The description of the API, to be read"),
        Page("/console", "console.html", "The operations console"),
    ]
    return [*described, Description(version("zenskar"), described)]


def _add(app: web.Application, routes: Sequence[Route]) -> None:
    for route in routes:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)
        else:
            app.router.add_route(route.method, route.path, route.handler)


async def _set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """What is answered is personal data: no cache keeps it, no browser guesses its type."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    response.headers.pop("Server", None)
