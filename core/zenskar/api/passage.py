"""What every request passes through, in this order; a layer each would cost more than they do."""

from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.api import correlation
from zenskar.api.auth import KeyRing
from zenskar.api.limits import Deadlines, refuse_foreign
from zenskar.api.metrics import RequestMeter
from zenskar.api.problems import answer_to
from zenskar.telemetry.metrics import Metrics


class Passage:
    """Names, measures, bounds and admits requests, and answers every error as a problem.

    Without `keys` no API key is asked for, and never on the routes of `public` handlers.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        timeout_seconds: float,
        keys: KeyRing | None = None,
        public: Collection[Handler] = (),
    ) -> None:
        self._meter = RequestMeter(metrics)
        self._deadlines = Deadlines(timeout_seconds)
        self._keys = keys
        self._public = public

    @web.middleware
    async def through(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request."""
        started = self._meter.now()
        chosen = correlation.begin(request)
        try:
            with self._deadlines.of(request):
                refuse_foreign(request)
                if self._keys is not None:
                    await self._admit(request, self._keys)
                response = await handler(request)
        except Exception as error:  # noqa: BLE001 - the last resort of every request
            response = answer_to(error)
        self._meter.note(request, response, started)
        response.headers[correlation.HEADER] = chosen
        return response

    async def _admit(self, request: web.Request, keys: KeyRing) -> None:
        match = request.match_info
        if match.http_exception is None and match.handler not in self._public:
            await keys.admit(request)
