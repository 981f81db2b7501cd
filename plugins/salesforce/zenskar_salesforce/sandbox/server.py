"""Answer HTTP requests: tokens, credentials, the allowance, faults, and the API."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import web

from .composite import answer_composite
from .faults import Fault, FaultKind, Faults
from .problems import Problem, Refused
from .rest import NEWEST, Reply, Rest, RestCall
from .tokens import TokenRefused, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from .allowance import Allowance

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path
_VERSIONS = "/services/data"
_FORM = "application/x-www-form-urlencoded"
_SILENT = (FaultKind.DROP_REQUEST, FaultKind.ZOMBIE, FaultKind.DROP_ANSWER)
_HTML = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
_MOST_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request that the sandbox received, with the status of its answer, None without one."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int | None = None


@dataclass(frozen=True, slots=True)
class ServerParts:
    """The parts that answer requests."""

    rest: Rest
    tokens: Tokens
    allowance: Allowance
    faults: Faults
    clock: Callable[[], float]


class Server:
    """Answers every request but those of the control surface."""

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self.requests: list[LoggedRequest] = []
        self._late: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request and log it."""
        text = await request.read()
        if request.path == TOKEN_PATH:
            return self._token(request, text.decode(errors="replace"))
        fault = self._parts.faults.hit(request.method, request.path)
        reply = await self._faulty(request, text, fault)
        silent = fault is not None and fault.kind in _SILENT
        status = None if silent else reply.status
        kept = {name.lower(): value for name, value in request.headers.items()}
        entry = LoggedRequest(request.method, request.path_qs, kept, _readable(text), status)
        self.requests.append(entry)
        if silent:
            return _dropped(request)
        return await self._send(request, reply, fault)

    async def settle(self) -> None:
        """Wait for the effects of late calls."""
        await asyncio.gather(*self._late)

    async def close(self) -> None:
        """Cancel late calls."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    def _token(self, request: web.Request, text: str) -> web.Response:
        form = dict(parse_qsl(text)) if request.content_type == _FORM else {}
        address = f"{request.scheme}://{request.host}"
        org = self._parts.rest.org
        try:
            header = request.headers.get("Authorization", "")
            answer = self._parts.tokens.issue(form, header, address, org.user)
            status = 200
        except TokenRefused as error:
            answer, status = dict(error.body), 400
        # Neither the credentials nor the token are logged.
        self.requests.append(LoggedRequest(request.method, TOKEN_PATH, {}, None, status))
        return web.json_response(answer, status=status, headers=self._date())

    async def _faulty(self, request: web.Request, text: bytes, fault: Fault | None) -> Reply:
        kind = fault.kind if fault else None
        if fault is None or kind in (FaultKind.DROP_ANSWER, FaultKind.CUT, FaultKind.HTML):
            return self._answer(request, text)
        if kind is FaultKind.DELAY:
            await asyncio.sleep(fault.delay_seconds)
            return self._answer(request, text)
        if kind is FaultKind.ZOMBIE:
            task = asyncio.create_task(self._answer_late(request, text, fault.delay_seconds))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        if kind is FaultKind.SERVER_ERROR:
            if fault.effect:
                self._answer(request, text)
            problem = Problem("UNKNOWN_EXCEPTION", "An unexpected error occurred.")
            return Reply(500, Refused(500, problem).body)
        problems = (Problem(fault.code, fault.message, ()),) if fault.code else ()
        return Reply(fault.status, Refused(fault.status, *problems).body)

    async def _answer_late(self, request: web.Request, text: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._answer(request, text)

    def _answer(self, request: web.Request, text: bytes) -> Reply:
        if request.method == "GET" and request.path.rstrip("/") == _VERSIONS:
            url = f"{_VERSIONS}/v{NEWEST}.0"
            return Reply(200, [{"version": f"{NEWEST}.0", "url": url, "label": "Newest"}])
        try:
            self._admit(request)
            return self._known(_call(request, text))
        except Refused as error:
            return Reply(error.status, error.body)

    def _admit(self, request: web.Request) -> None:
        if not self._parts.tokens.accepts(request.headers.get("Authorization", "")):
            raise Refused(401, Problem("INVALID_SESSION_ID", "Session expired or invalid"))
        self._parts.allowance.spend()

    def _known(self, call: RestCall) -> Reply:
        rest = self._parts.rest
        if call.method != "POST" or not call.path.endswith("/composite"):
            return rest.answer(call)
        before = dict(rest.org.rows)
        return answer_composite(call, rest.answer, lambda: rest.org.restore(before))

    async def _send(
        self, request: web.Request, reply: Reply, fault: Fault | None
    ) -> web.StreamResponse:
        headers = {**reply.headers, **self._date()}
        if request.path.rstrip("/") != _VERSIONS:
            headers["Sforce-Limit-Info"] = self._parts.allowance.header
        if fault is not None and fault.kind is FaultKind.HTML:
            return web.Response(text=_HTML, headers=headers, content_type="text/html")
        if reply.body is None:
            return web.Response(status=reply.status, headers=headers)
        body = json.dumps(reply.body).encode()
        if fault is None or fault.kind is not FaultKind.CUT:
            kind = "application/json"
            return web.Response(
                body=body, status=reply.status, headers=headers, content_type=kind, charset="utf-8"
            )
        return await _cut(request, reply.status, headers, body)

    def _date(self) -> dict[str, str]:
        return {"Date": formatdate(int(self._parts.clock()), usegmt=True)}


def _call(request: web.Request, text: bytes) -> RestCall:
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = _readable(text)
    if text and body is None:
        raise Refused(400, Problem("JSON_PARSER_ERROR", "The body is not JSON"))
    if len(text) > _MOST_BYTES:
        raise Refused(413, Problem("REQUEST_TOO_LARGE", "The body is too large"))
    return RestCall(request.method, request.rel_url.raw_path, dict(request.query), headers, body)


def _readable(text: bytes) -> Any:
    try:
        return json.loads(text or b"null")
    except (ValueError, RecursionError):
        return None


def _dropped(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _cut(
    request: web.Request, status: int, headers: dict[str, str], body: bytes
) -> web.StreamResponse:
    """Send half of an answer, and close the connection."""
    response = web.StreamResponse(status=status, headers=headers)
    response.content_type, response.content_length = "application/json", len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
