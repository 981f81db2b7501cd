"""Serve `/metrics`."""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from zenskar.api.http.routes import JsonSchema, ResponseDoc, Route
from zenskar.api.resources.state_metrics import StateMetrics
from zenskar.api.services import ApiServices
from zenskar.api.shared_answer import SharedAnswer
from zenskar.errors import Unavailable
from zenskar.ops.state.system_state import SystemReading

_KEPT_SECONDS = 5.0
_DEADLINE_SECONDS = 3.0
_OPENMETRICS = "application/openmetrics-text"


class MetricsPage:
    """Serves the registry to Prometheus."""

    def __init__(self, services: ApiServices) -> None:
        self._lagging = services.metrics.consumer_lag
        self._lag = services.lag
        self._shown = StateMetrics()
        # A registry of this page: the registry of the process may serve two pages.
        self._registry = CollectorRegistry(auto_describe=True)
        self._registry.register(services.metrics.registry)
        self._registry.register(self._shown)
        self._health = SharedAnswer(services.health.ready, seconds=_KEPT_SECONDS)
        self._state = SharedAnswer(services.state, seconds=_KEPT_SECONDS)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Return the registry, with the present state of the system."""
        health, state = await asyncio.gather(self._health.get(), self._read_state())
        # No await between this and the page: another request would change the state.
        self._shown.health, self._shown.state = health, state
        for topic, left in self._lag().items():
            self._lagging.labels(topic).set(left)
        return self._page(request)

    async def _read_state(self) -> SystemReading | None:
        """Return the state, None when the database does not answer in time."""
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return await self._state.get()
        except (Unavailable, TimeoutError):
            return None

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
