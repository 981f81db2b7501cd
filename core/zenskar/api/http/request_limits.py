"""Bound the time of a request, and refuse requests from pages of other sites."""

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
    """Cancels requests that take too long.

    All requests have the same time, so the first to begin is the first due: one timer is enough.
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
            raise too_late(request, template_of(request)) from None
        finally:
            self.end(task)

    def begin(self) -> "asyncio.Task[Any]":
        """Start the time of the current task, and return the task; a late task is cancelled.

        Raises `RuntimeError` outside of a task.
        """
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a request is handled in a task")
        self._due[task] = due = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._cancel_due)
        return task

    def end(self, task: "asyncio.Task[Any]") -> bool:
        """Stop the time of a task; return whether the task was in time."""
        return self._due.pop(task, None) is not None

    def was_late(self, task: "asyncio.Task[Any]") -> bool:
        """Return whether only the deadline has cancelled a task, and clear the cancellation."""
        # Another caller may have cancelled the task too.
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


def too_late(request: web.BaseRequest, route: str) -> web.HTTPException:
    """Return 408 if the body is incomplete, else 503. `route` is a path with its placeholders."""
    if request.body_exists and not request.content.at_eof():
        slow = web.HTTPRequestTimeout()
        slow.force_close()
        return slow
    _log.warning("request_took_too_long", route=route)
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
