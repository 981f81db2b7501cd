"""Which route a request takes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn
from urllib.parse import unquote

from aiohttp import web

from zenskar.api.http.queries import QueryReader
from zenskar.api.http.routes import Handler, Route

_PLACEHOLDER = re.compile(r"{(\w+)}")
_REMEMBERED = 256
"""Senders choose paths, so not all of them."""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a request, and what stands for the placeholders of its path.

    Without a route, the handler says why. `query` reads what a key is asked for; a query of a
    public route is the sender's own business.
    """

    route: Route | None
    handler: Handler
    query: QueryReader | None = None
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def template(self) -> str:
        """The path with its placeholders."""
        return "unmatched" if self.route is None else self.route.path


_MATCH = web.RequestKey("match", RouteMatch)


@dataclass(frozen=True, slots=True)
class _Place:
    """A path, and its routes by method."""

    pattern: re.Pattern[str]
    routes: dict[str, tuple[Route, QueryReader | None]]


class HttpRouter:
    """Finds routes by the first part of their path, then by the whole of it.

    What answers GET answers HEAD (RFC 9110, section 9.3.2).
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        by_path: dict[str, _Place] = {}
        for route in routes:
            place = by_path.setdefault(route.path, _Place(_pattern(route.path), {}))
            found = route, None if route.public else QueryReader(route.parameters)
            place.routes[route.method] = found
            if route.method == "GET":
                place.routes["HEAD"] = found
        self._find = lru_cache(_REMEMBERED)(self._look)
        self._by_head: dict[str, list[_Place]] = {}
        # What is spelled out is meant before what is a placeholder.
        for path, place in sorted(by_path.items(), key=lambda item: "{" in item[0]):
            self._by_head.setdefault(_head(path), []).append(place)

    def find(self, request: web.BaseRequest) -> RouteMatch:
        """Return the route of a request, and keep it for `match_of`."""
        request[_MATCH] = match = self._find(request.method, request.rel_url.raw_path)
        return match

    def _look(self, method: str, path: str) -> RouteMatch:
        for place in self._by_head.get(_head(path), ()):
            found = place.pattern.fullmatch(path)
            if found is None:
                continue
            if method not in place.routes:
                return RouteMatch(None, _refuser(place.routes.keys()))
            route, query = place.routes[method]
            values = found.groupdict()
            if "%" in path:
                values = {name: unquote(value) for name, value in values.items()}
            return RouteMatch(route, route.handler, query, values)
        return RouteMatch(None, _not_found)


def match_of(request: web.BaseRequest) -> RouteMatch:
    """Return the route that was found."""
    return request[_MATCH]


def _head(path: str) -> str:
    return path[1:].partition("/")[0]


def _pattern(path: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(path)
    # Every second part is the name of a placeholder.
    return re.compile(
        "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
    )


async def _not_found(_request: web.BaseRequest) -> NoReturn:
    raise web.HTTPNotFound


def _refuser(allowed: Iterable[str]) -> Handler:
    async def refuse(request: web.BaseRequest) -> NoReturn:
        raise web.HTTPMethodNotAllowed(request.method, allowed)

    return refuse
