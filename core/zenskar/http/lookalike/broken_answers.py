"""Send answers to calls, or break them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from zenskar.http.lookalike.faults import Fault, FaultKind, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
_JSON = "application/json"
_OF_THE_BODY = frozenset({"content-type", "content-length"})


async def sent(
    request: web.Request, answer: web.Response | None, fault: Fault | None
) -> web.StreamResponse:
    """Return an answer as a fault leaves it; None closes the connection without an answer."""
    if answer is None or (fault is not None and fault.kind.silent):
        return _dropped(request)
    if fault is None or fault.kind is not FaultKind.TRUNCATE or not 200 <= answer.status < 300:
        return answer
    body = answer.body if isinstance(answer.body, bytes) else b""
    kept = {name: each for name, each in answer.headers.items() if name.lower() not in _OF_THE_BODY}
    return await _truncated(request, body, kept, fault.mode)


def _dropped(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _truncated(
    request: web.Request, body: bytes, headers: Mapping[str, str], mode: Mode
) -> web.StreamResponse:
    """Send a success whose body is not the object."""
    if mode is Mode.HTML:
        return web.Response(body=_HTML, headers=headers, content_type="text/html")
    half = body[: len(body) // 2]
    if mode is Mode.BROKEN_JSON:
        return web.Response(body=half, headers=headers, content_type=_JSON)
    response = web.StreamResponse(headers=headers)
    response.content_type = _JSON
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(half)
    if request.transport is not None:
        request.transport.close()
    return response
