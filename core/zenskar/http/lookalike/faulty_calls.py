"""Answer the calls of a look-alike, with the fault that hits each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from zenskar.http.lookalike.background import Background, Interrupted
from zenskar.http.lookalike.faults import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Mapping

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refusal = Callable[[Fault], web.Response]
"""Returns the answer of a fault that refuses a call."""


async def answered(
    request: web.Request,
    handler: Handler,
    fault: Fault | None,
    background: Background,
    refused: Refusal,
) -> web.Response | None:
    """Return the answer of a handler or of a fault, None for a call without an answer."""
    await request.read()
    if fault is None:
        return await _handled(request, handler)
    try:
        return await _faulty(request, handler, fault, background, refused)
    except Interrupted:
        return None


async def _faulty(
    request: web.Request,
    handler: Handler,
    fault: Fault,
    background: Background,
    refused: Refusal,
) -> web.Response | None:
    match fault.kind:
        case FaultKind.RATE_LIMITED | FaultKind.REFUSE:
            return refused(fault)
        case FaultKind.DROP_REQUEST:
            return None
        case FaultKind.ZOMBIE:
            background.spawn(_late(request, handler, fault.delay_seconds, background))
            return None
        case FaultKind.SERVER_ERROR:
            if fault.effect:
                await _handled(request, handler)
            return refused(fault)
    answer = await _handled(request, handler)
    if fault.kind is FaultKind.DELAY:
        await background.pause(fault.delay_seconds)
    return answer


def refusal_of(status: int, code: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer with an error code."""
    return web.json_response({"error": code}, status=status, headers=headers)


def refused_by(fault: Fault) -> web.Response:
    """Return the answer of a fault that refuses a call; without a code it has no body."""
    if fault.kind is FaultKind.SERVER_ERROR:
        return refusal_of(500, "server_error")
    if fault.kind is FaultKind.REFUSE:
        return (
            refusal_of(fault.status, fault.code)
            if fault.code
            else web.Response(status=fault.status)
        )
    hint = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return refusal_of(429, fault.reason, hint)


async def _late(
    request: web.Request, handler: Handler, delay: float, background: Background
) -> None:
    try:
        await background.pause(delay)
    except Interrupted:
        return
    await _handled(request, handler)


async def _handled(request: web.Request, handler: Handler) -> web.Response:
    """Return the answer of a handler; a missing route is an answer too."""
    try:
        answer = await handler(request)
    except web.HTTPException as refused:
        return refusal_of(refused.status, refused.reason)
    if not isinstance(answer, web.Response):
        raise TypeError("a handler of a look-alike must return a Response")
    return answer
