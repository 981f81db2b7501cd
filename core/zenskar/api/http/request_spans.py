"""Spans of requests. This module needs the extra `otel`."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from opentelemetry.trace import Status, StatusCode

from zenskar.api.http.correlation import TRACEPARENT, correlation_id
from zenskar.api.http.routes import Route, route_of
from zenskar.telemetry.tracing import Tracing, trace_id_of, traceparent_of

_WEBHOOKS, _METRICS = "/webhooks/", "/metrics"


class RequestSpans:
    """Records a span for each request that changes or reads the catalog, and for each webhook."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    @web.middleware
    async def record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record a request; its messages and log lines name its trace."""
        route = route_of(request)
        if route is None or not _is_traced(route):
            return await handler(request)
        attributes = {
            "http.request.method": request.method,
            "http.route": route.path,
            "zenskar.correlation_id": correlation_id(request),
        }
        named = f"{request.method} {route.path}"
        with self._tracing.request(named, request.headers, attributes, public=route.public) as span:
            if (traceparent := traceparent_of(span)) is not None:
                request[TRACEPARENT] = traceparent
            structlog.contextvars.bind_contextvars(trace_id=trace_id_of(span))
            response = await handler(request)
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
            return response


def _is_traced(route: Route) -> bool:
    """Return whether a route is more than a page or a reading of the state of this process."""
    return route.path.startswith(_WEBHOOKS) or not (route.public or route.path == _METRICS)
