"""`/metrics`, and what the API itself measures."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from zenskar.api.clients import client_address
from zenskar.api.routes import Answer, JsonSchema, Route
from zenskar.api.services import ApiServices
from zenskar.api.shared import Shared
from zenskar.errors import Unavailable
from zenskar.telemetry.instruments import Count, Times
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics

_KEPT_SECONDS = 5.0
_OPENMETRICS = "application/openmetrics-text"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = get_logger(__name__)


class MetricsPage:
    """Serves the registry to Prometheus."""

    def __init__(self, services: ApiServices) -> None:
        self._waiting = services.metrics.outbox_depth
        self._lagging = services.metrics.consumer_lag
        self._depth = Shared(services.depth, seconds=_KEPT_SECONDS)
        self._lag = services.lag
        self._registry = services.metrics.registry

    async def show(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve the registry, with what waits at this moment."""
        depth: Mapping[str, int] = {}
        with suppress(Unavailable):
            depth = await self._depth.get()
        # No other request may look at it between this and the page.
        self._waiting.clear()
        for topic, waiting in depth.items():
            self._waiting.labels(topic).set(waiting)
        for topic, left in self._lag().items():
            self._lagging.labels(topic).set(left)
        return self._page(request)

    def _page(self, request: web.BaseRequest) -> web.Response:
        chosen = request.query.getall("name[]", None)
        registry = self._registry.restricted_registry(chosen) if chosen else self._registry
        encode, media_type = _encoder(request.headers.get("Accept", ""))
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
        self._metrics = metrics
        self._found: dict[tuple[str, str, int], tuple[Count, Times]] = {}
        self._lines = logging.getLogger(__name__)

    def now(self) -> float:
        """Return what `note` counts from."""
        return time.perf_counter()

    def note(
        self, request: web.BaseRequest, route: str, response: web.StreamResponse, started: float
    ) -> None:
        """Count a request that has its answer."""
        method = request.method
        seconds, status = self.now() - started, response.status
        count, times = self._found.get((method, route, status)) or self._find(method, route, status)
        count.inc()
        times.observe(seconds)
        # Making a line that nobody wants costs more than checking a signature.
        if status < 400 and not self._lines.isEnabledFor(logging.DEBUG):
            return
        told = {
            "seconds": round(seconds, 4),
            "method": _known(method),
            "route": route,
            "client": client_address(request),
        }
        if status < 400:
            _log.debug("request", **told, status=status)
        else:
            _log.info("request", **told, status=status)

    def _find(self, method: str, route: str, status: int) -> tuple[Count, Times]:
        found = (
            self._metrics.http_requests.labels(_known(method), route, str(status)),
            self._metrics.http_seconds.labels(_known(method), route),
        )
        # Of other methods there are as many as a sender likes.
        if method in _METHODS:
            self._found[method, route, status] = found
        return found


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the encoder of one of two formats; the rest of the header is not passed on.

    The client library raises errors of many kinds for it, and repeats it in its own header.
    """
    return choose_encoder(_OPENMETRICS if _OPENMETRICS in accept.lower() else "")


def _known(method: str) -> str:
    return method if method in _METHODS else "other"
