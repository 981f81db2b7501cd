"""How long and how large a request may be, and who may send it."""

import asyncio
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from zenskar.api.problems import RETRY_AFTER_SECONDS
from zenskar.telemetry.logs import get_logger

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_log = get_logger(__name__)


def deadline_middleware(seconds: float) -> Middleware:
    """Cut off a sender that is too slow, and work that takes too long."""

    @web.middleware
    async def deadline(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            async with asyncio.timeout(seconds) as timer:
                return await handler(request)
        except TimeoutError:
            if not timer.expired():
                raise
        if request.body_exists and not request.content.at_eof():
            slow = web.HTTPRequestTimeout()
            slow.force_close()
            raise slow
        _log.warning("request_took_too_long", route=request.match_info.route.name)
        raise web.HTTPServiceUnavailable(
            text="the request took too long", headers={"Retry-After": str(RETRY_AFTER_SECONDS)}
        )

    return deadline


@web.middleware
async def same_origin_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse changes that a page of another site has its visitor's browser make."""
    if request.method not in _SAFE_METHODS and _foreign(request):
        raise web.HTTPForbidden(text="requests from pages of other sites are refused")
    return await handler(request)


def _foreign(request: web.Request) -> bool:
    if request.headers.get("Sec-Fetch-Site", "none") in {"cross-site", "same-site"}:
        return True
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host
