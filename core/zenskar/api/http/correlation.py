"""The correlation id of a request: taken or made, logged, returned."""

import re

import structlog
from aiohttp import web

from zenskar.ids import new_id

HEADER = "X-Correlation-Id"
_KEY = web.RequestKey("correlation_id", str)
_SAFE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


def begin(request: web.BaseRequest) -> str:
    """Choose the correlation id and bind it to all logs of the request, which is its own task."""
    given = request.headers.get(HEADER)
    chosen = given if given and _SAFE.fullmatch(given) else new_id()
    request[_KEY] = chosen
    structlog.contextvars.bind_contextvars(correlation_id=chosen)
    return chosen


def correlation_id(request: web.BaseRequest) -> str:
    """Return the id that was chosen."""
    return request[_KEY]
