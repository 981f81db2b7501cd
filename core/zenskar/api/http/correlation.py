"""Choose, log and return the correlation id of a request, and keep the name of its span."""

import re

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.ids import new_id

HEADER = "X-Correlation-Id"
_KEY = web.RequestKey("correlation_id", str)
TRACEPARENT = web.RequestKey("traceparent", str)
_SAFE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@web.middleware
async def bind_correlation_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Choose the correlation id, and bind it to all log lines of the request."""
    chosen = request.get(_KEY) or choose_correlation_id(request)
    structlog.contextvars.bind_contextvars(correlation_id=chosen)
    return await handler(request)


def choose_correlation_id(request: web.Request) -> str:
    """Choose the correlation id of a request: the sender's, if valid, else a new one."""
    given = request.headers.get(HEADER)
    chosen = given if given and _SAFE.fullmatch(given) else new_id()
    request[_KEY] = chosen
    return chosen


def correlation_id(request: web.Request) -> str:
    """Return the correlation id; a new one if the request reached no middleware."""
    chosen: str | None = request.get(_KEY)
    return new_id() if chosen is None else chosen


def traceparent(request: web.Request) -> str | None:
    """Return the name of the request's span, None unless spans are recorded."""
    return request.get(TRACEPARENT)
