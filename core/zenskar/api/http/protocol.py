"""Bound the connections of the server, and answer invalid HTTP without details."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from zenskar.api.http import statuses
from zenskar.api.http.problems import Problem, response_to
from zenskar.telemetry.logs import get_logger

HttpHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_log = get_logger(__name__)
SERVER = "zenskar"
"""The value of the header `Server`: no version."""
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: zenskar\r\nConnection: close\r\n"
    b"Retry-After: 5\r\nContent-Length: 0\r\n\r\n"
)
_LOG_SECONDS = 10.0
_RECEIVE_BYTES = 64 * 1024
"""The kernel's receive buffer of a connection. A single read returns all of it, before the handler
can refuse the body. 400 senders of unfinished bodies of 1 MiB took 39 to 68 MB, and 122 MB with the
kernel's own size."""
_DETAIL = "this is not HTTP as it is spoken here"


class Protocol(web.RequestHandler):
    """Answers invalid HTTP as a problem; aiohttp's response repeats it and names its version."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - repeats what was sent
    ) -> web.StreamResponse:
        """Return the response to invalid HTTP, or to an error outside of all middlewares.

        Raises `ConnectionError` when an answer has begun, so that no other can be given.
        """
        self.log_exception("refused", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, so no other can be given")
        response = _refusal(status)
        response.headers["Server"] = SERVER
        response.force_close()
        return response


class Server(web.Server):
    """Makes a protocol for each connection, and bounds their number.

    At the bound, a new connection replaces the one that has waited longest for a request, else
    for the rest of a body. While all others are being answered, the new connection is refused.
    """

    def __init__(
        self,
        answer: HttpHandler,
        *,
        request_factory: Any,
        most_connections: int,
        **options: Any,
    ) -> None:
        super().__init__(self._serve, request_factory=request_factory, **options)
        self._answer = answer
        self._most = most_connections
        self._options = options
        # Ordered by the last change.
        self._idle: dict[web.RequestHandler, None] = {}
        self._busy: dict[web.RequestHandler, web.BaseRequest] = {}
        self._closed = self._refused = 0
        self._logged_at = -_LOG_SECONDS

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Protocol(self, loop=asyncio.get_running_loop(), **self._options)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection, and close or refuse one at the bound."""
        super().connection_made(handler, transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        if len(self._idle) + len(self._busy) >= self._most and not self._evict():
            self._refused += 1
            self._log_full()
            transport.write(_BUSY)
            transport.close()
            return
        self._idle[handler] = None

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self._idle.pop(handler, None)
        self._busy.pop(handler, None)

    def _evict(self) -> bool:
        waiting = (h for h, request in self._busy.items() if not request.content.is_eof())
        oldest = next(iter(self._idle), None) or next(waiting, None)
        if oldest is None:
            return False
        self._idle.pop(oldest, None)
        self._busy.pop(oldest, None)
        self._closed += 1
        self._log_full()
        oldest.force_close()
        return True

    def _log_full(self) -> None:
        """Log at most every ten seconds, however many connections are made."""
        now = time.monotonic()
        if now - self._logged_at < _LOG_SECONDS:
            return
        _log.warning(
            "connections_full", most=self._most, closed=self._closed, refused=self._refused
        )
        self._logged_at, self._closed, self._refused = now, 0, 0

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = request.protocol
        if handler in self._idle:
            del self._idle[handler]
            self._busy[handler] = request
        try:
            return await self._answer(request)
        except web.HTTPException as error:
            # An unknown `Expect` for an unknown path never gets as far as the middlewares.
            if error.status < 400:
                raise
            return _refusal(error.status)
        except Exception as error:  # noqa: BLE001 - a bug in front of all middlewares
            return response_to(error)
        finally:
            if self._busy.pop(handler, None) is not None:
                self._idle[handler] = None


class Runner(web.AppRunner):
    """Runs an application behind `front` on a `Server`; `options` are those of the protocol."""

    def __init__(
        self,
        app: web.Application,
        *,
        front: Callable[[HttpHandler], HttpHandler],
        most_connections: int,
        shutdown_timeout: float,
        **options: Any,
    ) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._front = front
        self._most = most_connections
        self._options = options

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(
            self._front(made.request_handler),
            request_factory=made.request_factory,
            most_connections=self._most,
            **self._options,
        )


def _refusal(status: int) -> web.Response:
    return Problem(status, statuses.kind(status), _DETAIL).response()
