"""What every request passes through, in this order; a layer each would cost more than they do."""

import asyncio

from aiohttp import hdrs, web

from zenskar.api.http import bodies, correlation
from zenskar.api.http.auth import KeyRing
from zenskar.api.http.clients import Clients, LocalHosts
from zenskar.api.http.pending import PendingBodies
from zenskar.api.http.problems import answer_to
from zenskar.api.http.protocol import SERVER
from zenskar.api.http.request_limits import Deadlines, refuse_foreign, too_late
from zenskar.api.http.request_metrics import RequestMeter
from zenskar.api.http.router import RouteMatch
from zenskar.telemetry.metrics import Metrics

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Server": SERVER,
}
"""What is answered is personal data: no cache keeps it, no browser guesses its type, and no
version of what runs here is told."""


class RequestPipeline:
    """Names, measures, bounds and admits requests, and answers every error as a problem.

    Without `keys` no API key is asked for, and never on public routes. With `hosts`, requests
    for other hosts are refused.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        timeout_seconds: float,
        clients: Clients | None = None,
        keys: KeyRing | None = None,
        hosts: LocalHosts | None = None,
        pending: PendingBodies | None = None,
    ) -> None:
        self._meter = RequestMeter(metrics)
        self._deadlines = Deadlines(timeout_seconds)
        self._clients = clients or Clients(None)
        self._keys = keys
        self._hosts = hosts
        self._pending = pending

    async def through(self, request: web.BaseRequest, match: RouteMatch) -> web.StreamResponse:
        """Answer a request."""
        started = self._meter.now()
        chosen = correlation.begin(request)
        task = self._deadlines.begin()
        try:
            self._clients.note(request)
            if self._hosts is not None:
                self._hosts.check(request)
            refuse_foreign(request)
            if self._keys is not None and match.route and not match.route.public:
                await self._keys.admit(request, match.route.scope)
            if match.query is not None:
                match.query.read(request)
            if hdrs.EXPECT in request.headers:
                await bodies.invite(request)
            if self._pending is not None and request.body_exists:
                request[bodies.PENDING] = self._pending
            response = await match.handler(request)
        except asyncio.CancelledError:
            if not self._deadlines.was_late(task):
                raise
            response = answer_to(too_late(request))
        except Exception as error:  # noqa: BLE001 - the last resort of every request
            response = answer_to(error)
        finally:
            self._deadlines.end(task)
            if self._pending is not None:
                self._pending.give_back(request)
        self._meter.note(request, match.template, response, started)
        response.headers.update(_HEADERS)
        response.headers[correlation.HEADER] = chosen
        return response
