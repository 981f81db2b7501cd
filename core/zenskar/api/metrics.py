"""`/metrics`, and what the API itself measures."""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from zenskar.api.routes import Answer, JsonSchema, Route
from zenskar.api.routing import match_of
from zenskar.api.services import ApiServices
from zenskar.errors import Unavailable
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = get_logger(__name__)


class MetricsPage:
    """Serves the registry to Prometheus."""

    def __init__(self, services: ApiServices) -> None:
        self._waiting = services.metrics.outbox_depth
        self._lagging = services.metrics.consumer_lag
        self._depth = services.depth
        self._lag = services.lag
        self._registry = services.metrics.registry

    async def show(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve the registry, with what waits at this moment."""
        self._waiting.clear()
        with suppress(Unavailable):
            for topic, waiting in (await self._depth()).items():
                self._waiting.labels(topic).set(waiting)
        for topic, left in self._lag().items():
            self._lagging.labels(topic).set(left)
        return self._page(request)

    def _page(self, request: web.BaseRequest) -> web.Response:
        chosen = request.query.getall("name[]", None)
        registry = self._registry.restricted_registry(chosen) if chosen else self._registry
        encode, media_type = choose_encoder(request.headers.get("Accept", ""))
        page = web.Response(body=encode(registry), headers={"Content-Type": media_type})
        page.enable_compression()
        return page

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        page = Answer("Metrics in the format of Prometheus.", media_type="text/plain")
        return (Route("GET", "/metrics", self.show, "Metrics", {200: page}, public=True),)

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """No schemas."""
        return {}


class RequestMeter:
    """Counts and times requests by route; a path is never a label, it would have no bound."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.http_requests
        self._seconds = metrics.http_seconds
        self._lines = logging.getLogger(__name__)

    def now(self) -> float:
        """Return what `note` counts from."""
        return time.perf_counter()

    def note(self, request: web.BaseRequest, response: web.StreamResponse, started: float) -> None:
        """Count a request that has its answer."""
        seconds = self.now() - started
        method = request.method if request.method in _METHODS else "other"
        route, status = match_of(request).template, response.status
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        if status >= 400:
            _log.info(
                "request", seconds=round(seconds, 4), method=method, route=route, status=status
            )
        # Making a line that nobody wants costs more than checking a signature.
        elif self._lines.isEnabledFor(logging.DEBUG):
            _log.debug(
                "request", seconds=round(seconds, 4), method=method, route=route, status=status
            )
