"""Describe a route and register it, both from one value."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NoReturn, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.model.scope import Scope

JsonSchema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query or in a header."""

    name: str
    description: str
    place: str = "query"
    schema: JsonSchema = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, slots=True)
class ResponseDoc:
    """The description of a response: its meaning, the component of its body, its headers."""

    description: str
    body: str | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """An operation of the API.

    `body` names the component of the request body. A `public` route needs no API key, any other
    a key of `scope`. `problems` are the statuses of responses that are problems. `allowed` returns
    the methods of a path where they depend on the request; all routes of the path share it.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: Mapping[int, ResponseDoc]
    problems: tuple[int, ...] = ()
    body: str | None = None
    body_types: tuple[str, ...] = ("application/json",)
    parameters: tuple[Parameter, ...] = ()
    public: bool = False
    scope: Scope = Scope.ADMIN
    allowed: Callable[[web.Request], Collection[str]] | None = None


class Resource(Protocol):
    """A group of routes that share their schemas."""

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """The JSON Schemas of the routes, by name."""

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""


ROUTES: web.AppKey[Mapping[web.AbstractRoute, Route | None]] = web.AppKey("routes")
"""The entries that `register` has made in the router; None for those that refuse a method."""


def register(app: web.Application, routes: Iterable[Route]) -> None:
    """Add routes to the router of an application; GET serves HEAD too (RFC 9110, 9.3.2)."""
    entries: dict[web.AbstractRoute, Route | None] = {}
    for path, group in groupby(sorted(routes, key=_path), key=_path):
        by_method = {route.method: route for route in group}
        if "GET" in by_method:
            by_method["HEAD"] = by_method["GET"]
        resource = app.router.add_resource(path)
        for method, route in by_method.items():
            entry = resource.add_route(method, route.handler, expect_handler=_expect_nothing)
            entries[entry] = route
        # Otherwise `GET /sync-events/retry` would match `/sync-events/{id}`.
        own = next((route.allowed for route in by_method.values() if route.allowed), None)
        refuse = _refuser(own or _always(by_method))
        entries[resource.add_route("*", refuse, expect_handler=_expect_nothing)] = None
    app[ROUTES] = entries


def route_of(request: web.Request) -> Route | None:
    """Return the route of a request; None if no route of `ROUTES` matched."""
    return request.app[ROUTES].get(request.match_info.route)


def template_of(request: web.Request) -> str:
    """Return the path of the route with its placeholders."""
    route = route_of(request)
    return "unmatched" if route is None else route.path


def scope_of(request: web.Request) -> Scope | None:
    """Return the scope that a key needs for this request; None if it needs no key."""
    entry, entries = request.match_info.route, request.app[ROUTES]
    if request.match_info.http_exception is not None:
        return None
    # A route that others have added is not known to be public.
    if entry not in entries:
        return Scope.ADMIN
    route = entries[entry]
    return None if route is None or route.public else route.scope


_path = attrgetter("path")


async def _expect_nothing(_request: web.Request) -> None:
    """Leave the header `Expect` to a middleware, which invites the body after all checks."""


def _always(methods: Collection[str]) -> Callable[[web.Request], Collection[str]]:
    return lambda _request: methods


def _refuser(allowed: Callable[[web.Request], Collection[str]]) -> Handler:
    async def refuse(request: web.Request) -> NoReturn:
        raise web.HTTPMethodNotAllowed(request.method, allowed(request))

    return refuse
