"""Metrics and log lines of requests."""

import logging
import time
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.api.http.clients import client_address
from zenskar.api.http.routes import template_of
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STARTED = web.RequestKey("started", float)
"""The time of the monotonic clock at which a request began, if not at the middlewares."""
_log = get_logger(__name__)


class RequestMeter:
    """Counts and times requests by route.

    A path or an unknown method is never a label: senders choose them, so they have no bound.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lines = logging.getLogger(__name__)

    @web.middleware
    async def measure(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count, time and log an answered request."""
        started = request.get(STARTED) or time.perf_counter()
        response = await handler(request)
        self._record(request, response.status, time.perf_counter() - started)
        return response

    @property
    def logs_all(self) -> bool:
        """Whether every request is logged, not only those that fail."""
        # A line that is dropped costs more than the check of a webhook's signature.
        return self._lines.isEnabledFor(logging.DEBUG)

    def counter(self, method: str, route: str, status: int) -> Callable[[float], None]:
        """Return a function that counts a request of this kind and its seconds."""
        requests = self._metrics.http_requests.labels(method, route, str(status))
        seconds = self._metrics.http_seconds.labels(method, route)

        def count(taken: float) -> None:
            requests.inc()
            seconds.observe(taken)

        return count

    def _record(self, request: web.Request, status: int, seconds: float) -> None:
        method = request.method if request.method in _METHODS else "other"
        route = template_of(request)
        self._metrics.http_requests.labels(method, route, str(status)).inc()
        self._metrics.http_seconds.labels(method, route).observe(seconds)
        if status < 400 and not self.logs_all:
            return
        fields = {
            "seconds": round(seconds, 4),
            "method": method,
            "route": route,
            "client": client_address(request),
        }
        if status < 400:
            _log.debug("request", **fields, status=status)
        else:
            _log.info("request", **fields, status=status)
