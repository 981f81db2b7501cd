"""Metrics and log lines of requests."""

import logging
import time

from aiohttp import web
from prometheus_client import Counter, Histogram

from zenskar.api.http.clients import client_address
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.metrics import Metrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = get_logger(__name__)


class RequestMeter:
    """Counts and times requests by route; a path is never a label, it would have no bound."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._found: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
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

    def _find(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        found = (
            self._metrics.http_requests.labels(_known(method), route, str(status)),
            self._metrics.http_seconds.labels(_known(method), route),
        )
        # Of other methods there are as many as a sender likes.
        if method in _METHODS:
            self._found[method, route, status] = found
        return found


def _known(method: str) -> str:
    return method if method in _METHODS else "other"
