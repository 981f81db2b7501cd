"""Headers of every response."""

from aiohttp import hdrs, web

from zenskar.api.http.correlation import HEADER, correlation_id
from zenskar.api.http.protocol import SERVER

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Server": SERVER,
}
"""Responses hold personal data: no cache keeps them and no browser guesses their type. `Server`
names no version."""


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every response; a handler for the signal `on_response_prepare`."""
    kept = response.headers.get(hdrs.CACHE_CONTROL)
    response.headers.update(HEADERS)
    if kept is not None:
        # A file without personal data.
        response.headers[hdrs.CACHE_CONTROL] = kept
    response.headers[HEADER] = correlation_id(request)
