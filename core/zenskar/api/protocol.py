"""The HTTP protocol of the server, as far as it is not aiohttp's."""

import asyncio
from typing import Any

from aiohttp import web

from zenskar.api import statuses
from zenskar.api.problems import Problem

SERVER = "zenskar"
"""What the server calls itself; no version of what runs here is told."""
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
        response = Problem(status, statuses.kind(status), _DETAIL).response()
        response.headers["Server"] = SERVER
        response.force_close()
        return response


class Server(web.Server):
    """Makes a protocol for each connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._options = options.copy()
        self._options.pop("request_factory", None)

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Protocol(self, loop=asyncio.get_running_loop(), **self._options)
