"""The correlation id of a request: taken or made, logged, returned."""

import re

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from zenskar.ids import new_id

HEADER = "X-Correlation-Id"
_KEY = web.RequestKey("correlation_id", str)
_SAFE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@web.middleware
async def correlation_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bind the correlation id to all logs of the request, and return it."""
    given = request.headers.get(HEADER, "")
    chosen = given if _SAFE.fullmatch(given) else new_id()
    request[_KEY] = chosen
    with structlog.contextvars.bound_contextvars(correlation_id=chosen):
        response = await handler(request)
    response.headers[HEADER] = chosen
    return response


def correlation_id(request: web.Request) -> str:
    """Return the id that the middleware chose."""
    return request[_KEY]
