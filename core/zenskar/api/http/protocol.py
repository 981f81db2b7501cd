"""The HTTP protocol of the server, as far as it is not aiohttp's."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from zenskar.api.http import statuses
from zenskar.api.http.problems import Problem
from zenskar.telemetry.logs import get_logger

ProtocolAnswer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_log = get_logger(__name__)
SERVER = "zenskar"
"""What the server calls itself; no version of what runs here is told."""
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: zenskar\r\nConnection: close\r\n"
    b"Retry-After: 5\r\nContent-Length: 0\r\n\r\n"
)
_TELL_SECONDS = 10.0
_DETAIL = "this is not HTTP as it is spoken here"


class Protocol(web.RequestHandler):
    """Answers what is no HTTP; aiohttp's own answer repeats it, and names Python's version."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats what was sent
    ) -> web.StreamResponse:
        """Return the answer to what could not be read, or failed outside of every route."""
        self.log_exception("refused", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, so no other can be given")
        response = _refusal(status)
        response.headers["Server"] = SERVER
        response.force_close()
        return response


class Server(web.Server):
    """Makes a protocol for each connection, of which there are at most so many at a time.

    For a new one that is too many, the one gives way that has waited longest for a request, or
    else for the rest of a body. Only when all are being answered the new one is refused.
    """

    def __init__(
        self,
        answer: ProtocolAnswer,
        *,
        request_factory: Any,
        most_connections: int,
        **options: Any,
    ) -> None:
        super().__init__(self._answered, request_factory=request_factory, **options)
        self._answer = answer
        self._most = most_connections
        self._options = options
        # Each in the order of the last change.
        self._idle: dict[web.RequestHandler, None] = {}
        self._busy: dict[web.RequestHandler, web.BaseRequest] = {}
        self._closed = self._refused = 0
        self._told = -_TELL_SECONDS

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Protocol(self, loop=asyncio.get_running_loop(), **self._options)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection, and make room for it."""
        super().connection_made(handler, transport)
        if len(self._idle) + len(self._busy) >= self._most and not self._give_way():
            self._refused += 1
            self._tell()
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

    def _give_way(self) -> bool:
        waiting = (h for h, request in self._busy.items() if not request.content.is_eof())
        oldest = next(iter(self._idle), None) or next(waiting, None)
        if oldest is None:
            return False
        self._idle.pop(oldest, None)
        self._busy.pop(oldest, None)
        self._closed += 1
        self._tell()
        oldest.force_close()
        return True

    def _tell(self) -> None:
        """A flood of connections must not become one of log lines."""
        now = time.monotonic()
        if now - self._told < _TELL_SECONDS:
            return
        _log.warning(
            "connections_full", most=self._most, closed=self._closed, refused=self._refused
        )
        self._told, self._closed, self._refused = now, 0, 0

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
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
        finally:
            if self._busy.pop(handler, None) is not None:
                self._idle[handler] = None


class Runner(web.AppRunner):
    """Runs an application on a `Server`; `options` are those of the protocol."""

    def __init__(
        self,
        app: web.Application,
        *,
        most_connections: int,
        shutdown_timeout: float,
        **options: Any,
    ) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._most = most_connections
        self._options = options

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(
            made.request_handler,
            request_factory=made.request_factory,
            most_connections=self._most,
            **self._options,
        )


def _refusal(status: int) -> web.Response:
    return Problem(status, statuses.kind(status), _DETAIL).response()
