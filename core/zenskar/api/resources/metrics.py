"""Serve `/metrics`."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.services import ApiServices
from zenskar.api.shared_answer import SharedAnswer
from zenskar.errors import Unavailable

_KEPT_SECONDS = 5.0
_OPENMETRICS = "application/openmetrics-text"


class MetricsPage:
    """Serves the registry to Prometheus."""

    def __init__(self, services: ApiServices) -> None:
        self._waiting = services.metrics.outbox_depth
        self._lagging = services.metrics.consumer_lag
        self._depth = SharedAnswer(services.depth, seconds=_KEPT_SECONDS)
        self._lag = services.lag
        self._registry = services.metrics.registry

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Return the registry, with the current numbers of waiting messages."""
        depth: Mapping[str, int] = {}
        with suppress(Unavailable):
            depth = await self._depth.get()
        # No await between this and the page: another request would see the gauge empty.
        self._waiting.clear()
        for topic, waiting in depth.items():
            self._waiting.labels(topic).set(waiting)
        for topic, left in self._lag().items():
            self._lagging.labels(topic).set(left)
        return self._page(request)

    def _page(self, request: web.Request) -> web.Response:
        chosen = request.query.getall("name[]", None)
        registry = self._registry.restricted_registry(chosen) if chosen else self._registry
        encode, media_type = _encoder(request.headers.get("Accept", ""))
        page = web.Response(body=encode(registry), headers={"Content-Type": media_type})
        page.enable_compression()
        return page

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        page = ResponseDoc("Metrics in the format of Prometheus.", media_type="text/plain")
        return (Route("GET", "/metrics", self.show, "Metrics", {200: page}, public=True),)

    @property
    def components(self) -> Mapping[str, JsonSchema]:
        """No schemas."""
        return {}


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the encoder of one of two formats, chosen by the type alone.

    The client library raises various errors for other parts of `Accept`, and repeats them.
    """
    return choose_encoder(_OPENMETRICS if _OPENMETRICS in accept.lower() else "")
