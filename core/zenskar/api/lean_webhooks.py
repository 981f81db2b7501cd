"""Receive plain webhooks in front of the application, without its router and middlewares.

External systems send most of the requests, and nearly all of their webhooks are plain: no
middleware would refuse or change them. A webhook takes 65 of 380 to 480 microseconds less here than
in the application (32 and 128 senders, both ways in turns). Every other request takes the
application's way. So does each webhook that fails here, because only the middlewares turn errors
into problems, log lines and counts.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from wsgiref.handlers import format_date_time

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import Middleware

from zenskar.api.http import bodies
from zenskar.api.http.auth import KeyRing
from zenskar.api.http.clients import Clients, LocalHosts
from zenskar.api.http.correlation import HEADER, bind_correlation_id, choose_correlation_id
from zenskar.api.http.middlewares import Guards
from zenskar.api.http.pending import PENDING, PendingBodies
from zenskar.api.http.problems import answer_problems
from zenskar.api.http.protocol import HttpHandler
from zenskar.api.http.queries import QueryReaders
from zenskar.api.http.request_limits import Deadlines, refuse_foreign, too_late
from zenskar.api.http.request_metrics import STARTED, RequestMeter
from zenskar.api.http.response_headers import HEADERS
from zenskar.api.resources.webhooks import FAILED, PATH, Webhooks
from zenskar.api.services import ApiServices

Front = Callable[[HttpHandler], HttpHandler]
_STANDS_IN_FOR: frozenset[object] = frozenset(
    {
        bind_correlation_id,
        RequestMeter.measure,
        answer_problems,
        Deadlines.cut_off,
        Clients.find_address,
        PendingBodies.count_body,
        LocalHosts.check_host,
        refuse_foreign,
        KeyRing.authenticate,
        QueryReaders.read_query,
        bodies.invite_body,
    }
)
"""The middlewares that would neither refuse nor change a plain webhook, or that are done here."""
_UNUSUAL = (
    HEADER,
    hdrs.CONTENT_ENCODING,
    hdrs.EXPECT,
    hdrs.ORIGIN,
    "Sec-Fetch-Site",
)
"""Headers that a middleware acts upon."""
_HEADERS = {**HEADERS, hdrs.CONTENT_TYPE: "application/json"}
_ANSWER = web.RequestKey("answer", bytes)
"""The response to a webhook, with its headers."""


class _Answered(web.StreamResponse):
    """Writes the response that a request holds. The connection stays open.

    A response of aiohttp makes and serializes its headers for each request, which takes 12 to 20
    percent of the time of a webhook in this process.
    """

    @property
    def keep_alive(self) -> bool:
        """True: only requests of open connections are answered in this way."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the response. Raises `ConnectionError` when the sender has hung up."""
        await request.writer.write_eof(request[_ANSWER])
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the response is complete."""


class LeanWebhooks:
    """Receives plain webhooks."""

    def __init__(self, services: ApiServices, guards: Guards) -> None:
        self._guards = guards
        self._webhooks = Webhooks(services)
        plain = filter(services.ingress.is_plain, services.router.sources)
        self._sources = {PATH.format(source=name): name for name in plain}
        self._deadlines = Deadlines(services.settings.request_timeout_seconds)
        self._meter = RequestMeter(services.metrics)
        self._count = self._meter.counter("POST", PATH, 200)
        self._head, self._second = b"", 0
        self._answered = _Answered()

    def in_front_of(self, application: HttpHandler) -> HttpHandler:
        """Return a handler that leaves to the application the requests that are not plain."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            source = self._plain_source(request)
            if source is None or not isinstance(request, web.Request):
                return await application(request)
            return await self._receive(request, source) or await application(request)

        return handle

    def _plain_source(self, request: web.BaseRequest) -> str | None:
        """Return the connection of a plain webhook, None for every other request."""
        source, headers = self._sources.get(request.raw_path), request.headers
        if source is None or request.method != "POST" or self._meter.logs_all:
            return None
        if any(name in headers for name in _UNUSUAL):
            return None
        if request.version != HttpVersion11 or not request.keep_alive:
            return None
        hosts = self._guards.hosts
        return source if hosts is None or hosts.allows(request) else None

    async def _receive(self, request: web.Request, source: str) -> web.StreamResponse | None:
        """Return the response to a webhook; None when it fails, for `Webhooks` to raise again."""
        started = time.perf_counter()
        chosen = choose_correlation_id(request)
        pending, task = self._guards.pending, self._deadlines.begin()
        if pending is not None:
            request[PENDING] = pending
        try:
            counts = await self._webhooks.receive(source, request)
        except asyncio.CancelledError:
            if not self._deadlines.was_late(task):
                raise
            request[FAILED] = too_late(request, PATH)
        except Exception as error:  # noqa: BLE001 - raised again in the application
            request[FAILED] = error
        else:
            self._count(time.perf_counter() - started)
            request[_ANSWER] = self._answer(counts, chosen)
            return self._answered
        finally:
            self._deadlines.end(task)
            if pending is not None:
                pending.release(request)
        request[STARTED] = started
        return None

    def _answer(self, counts: Mapping[str, int], chosen: str) -> bytes:
        body, second = bodies.dump(counts), int(time.time())
        if second != self._second:
            self._head, self._second = _head(second), second
        own = f"{HEADER}: {chosen}\r\n{hdrs.CONTENT_LENGTH}: {len(body)}\r\n\r\n"
        return b"".join((self._head, own.encode(), body))


def _head(second: int) -> bytes:
    """Return the lines that all responses of a second share."""
    headers = {**_HEADERS, hdrs.DATE: format_date_time(second)}
    lines = ("HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers.items()), "")
    return "\r\n".join(lines).encode()


LEAN: web.AppKey[LeanWebhooks] = web.AppKey("lean_webhooks")


def front_of(app: web.Application) -> Front:
    """Return the handlers in front of an application.

    Middlewares and signals that others have added see every request, so then there are none.
    """
    lean, others = app.get(LEAN), len(app.on_response_prepare) > 1
    if lean is None or others or any(map(_is_unknown, app.middlewares)):
        return lambda application: application
    return lean.in_front_of


def _is_unknown(middleware: Middleware) -> bool:
    return getattr(middleware, "__func__", middleware) not in _STANDS_IN_FOR
