"""Build the application: aiohttp's, with the routes, middlewares and response headers."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version

from aiohttp import web
from aiohttp.typedefs import Middleware

from zenskar.api.http.auth import KeyRing, LoginThrottle
from zenskar.api.http.clients import Clients, LocalHosts
from zenskar.api.http.middlewares import Guards, middlewares
from zenskar.api.http.openapi import Description
from zenskar.api.http.pending import PendingBodies
from zenskar.api.http.response_headers import add_headers
from zenskar.api.http.routes import Resource, Route, register
from zenskar.api.lean_webhooks import LEAN, LeanWebhooks
from zenskar.api.resources.audit import Audit
from zenskar.api.resources.bus import BusRoutes
from zenskar.api.resources.connections import Connections
from zenskar.api.resources.customers import Customers
from zenskar.api.resources.dead_letters import DeadLetterRoutes
from zenskar.api.resources.erasures import Erasures
from zenskar.api.resources.explanations import Explanations
from zenskar.api.resources.installation import Installation
from zenskar.api.resources.keys import KeyRoutes
from zenskar.api.resources.metrics import MetricsPage
from zenskar.api.resources.object_links import Links
from zenskar.api.resources.pages import StaticPage
from zenskar.api.resources.probes import Probes
from zenskar.api.resources.profile_trials import ProfileTrials
from zenskar.api.resources.prompts import Prompts
from zenskar.api.resources.recovery import RecoveryRoutes
from zenskar.api.resources.runs import Runs
from zenskar.api.resources.sync_events import SyncEvents
from zenskar.api.resources.undeletes import Undeletes
from zenskar.api.resources.webhooks import Webhooks
from zenskar.api.services import ApiServices


def create_app(
    services: ApiServices, others: Sequence[Resource] = (), keys: KeyRing | None = None
) -> web.Application:
    """Return the application of the API, and of other resources that OpenAPI does not describe.

    The `keys` are those that the other resources check too, so that both count wrong keys together.
    """
    locked = services.settings.auth == "required"
    keys = keys or KeyRing(services.engine, LoginThrottle())
    guards = _guards(services, keys if locked else None)
    app = _app(services, [*resources(services), *others], guards)
    app[LEAN] = LeanWebhooks(services, guards)
    return app


def create_probes(services: ApiServices) -> web.Application:
    """Return the application of a worker: its probes and its metrics."""
    return create_open(services, [Probes(services), MetricsPage(services)])


def create_open(services: ApiServices, others: Sequence[Resource]) -> web.Application:
    """Return an application of resources that need no API key, or have a login of their own."""
    return _app(services, others, _guards(services, keys=None))


def resources(services: ApiServices) -> Sequence[Resource]:
    """Return the resources of the API."""
    described: list[Resource] = [
        Customers(services),
        Erasures(services),
        Webhooks(services),
        SyncEvents(services),
        DeadLetterRoutes(services),
        Connections(services),
        Links(services),
        ProfileTrials(services),
        Runs(services),
        BusRoutes(services),
        Undeletes(services),
        Prompts(services),
        Explanations(services),
        KeyRoutes(services),
        RecoveryRoutes(services),
        Audit(services),
        Installation(services),
        Probes(services),
        MetricsPage(services),
        StaticPage("/docs", "docs.html", "The description of the API as a page"),
    ]
    return [*described, Description(version("zenskar"), described)]


def application(
    routes: Iterable[Route], chain: Iterable[Middleware], max_body_bytes: int
) -> web.Application:
    """Return an application of routes behind middlewares, outermost first.

    More routes, middlewares and signals can be added to the application until it is served.
    """
    app = web.Application(middlewares=chain, client_max_size=max_body_bytes)
    register(app, routes)
    app.on_response_prepare.append(add_headers)
    return app


def _guards(services: ApiServices, keys: KeyRing | None) -> Guards:
    settings = services.settings
    return Guards(
        clients=Clients(settings.trusted_proxies),
        hosts=LocalHosts(settings.allowed_hosts) if settings.auth == "off" else None,
        keys=keys,
        pending=PendingBodies(settings.max_pending_body_bytes),
        record_span=_record_span(services),
    )


def _record_span(services: ApiServices) -> Middleware | None:
    if services.tracing is None:
        return None
    from zenskar.api.http.request_spans import RequestSpans

    return RequestSpans(services.tracing).record


def _app(services: ApiServices, described: Sequence[Resource], guards: Guards) -> web.Application:
    settings = services.settings
    routes = [route for resource in described for route in resource.routes()]
    chain = middlewares(routes, services.metrics, settings.request_timeout_seconds, guards)
    return application(routes, chain, settings.max_body_bytes)
