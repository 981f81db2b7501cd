"""How long and how large a request may be, and who may send it."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from zenskar.api.http.problems import RETRY_AFTER_SECONDS
from zenskar.api.http.routes import template_of
from zenskar.telemetry.logs import get_logger

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_log = get_logger(__name__)


class Deadlines:
    """Cuts off senders that are too slow, and work that takes too long.

    All have the same time, so whoever came first is due first, and one timer is enough.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    @web.middleware
    async def cut_off(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raise 408 for a body that is too slow, 503 for a handler that is."""
        task = self.begin()
        try:
            return await handler(request)
        except asyncio.CancelledError:
            if not self.was_late(task):
                raise
            raise too_late(request) from None
        finally:
            self.end(task)

    def begin(self) -> "asyncio.Task[Any]":
        """Give the task that runs its time, and return it; it is cancelled when that is up."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a request is handled in a task")
        self._due[task] = due = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._cancel_due)
        return task

    def end(self, task: "asyncio.Task[Any]") -> bool:
        """Tell whether a task has ended before its time was up."""
        return self._due.pop(task, None) is not None

    def was_late(self, task: "asyncio.Task[Any]") -> bool:
        """Tell whether a task that is cancelled is so because its time was up, and go on then."""
        # Somebody else may want it to end too.
        return not self.end(task) and task.uncancel() == 0

    def _cancel_due(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._due:
            task, due = next(iter(self._due.items()))
            if due > loop.time():
                self._timer = loop.call_at(due, self._cancel_due)
                return
            del self._due[task]
            task.cancel()


def too_late(request: web.Request) -> web.HTTPException:
    """Return the answer to a request whose time was up."""
    if request.body_exists and not request.content.at_eof():
        slow = web.HTTPRequestTimeout()
        slow.force_close()
        return slow
    _log.warning("request_took_too_long", route=template_of(request))
    return web.HTTPServiceUnavailable(
        text="the request took too long", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
    )


@web.middleware
async def refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raise 403 for a change that a page of another site makes its visitor's browser send."""
    if request.method not in _SAFE_METHODS and _foreign(request):
        raise web.HTTPForbidden(text="requests from pages of other sites are refused")
    return await handler(request)


def _foreign(request: web.Request) -> bool:
    if request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}:
        return True
    # Not `request.host`, which asks the name service when there is no such header.
    host = request.headers.get(hdrs.HOST)
    return any(_netloc(o) != host for o in request.headers.getall(hdrs.ORIGIN, ()))


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
