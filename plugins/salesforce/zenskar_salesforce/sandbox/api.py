"""Answer the calls of the API: versions, tokens, and rows within the allowance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from .composite import answer_composite
from .problems import Problem, Refused
from .rest import NEWEST, Reply, Rest, RestCall
from .tokens import TokenRefused, Tokens

if TYPE_CHECKING:
    from .allowance import Allowance

TOKEN_PATH: Final = "/services/oauth2/token"  # noqa: S105 - a path
VERSIONS_PATH: Final = "/services/data"
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_BYTES: Final = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Api:
    """Answers every call but those of the control surface."""

    rest: Rest
    tokens: Tokens
    allowance: Allowance

    def is_open(self, request: web.Request) -> bool:
        """Return whether a call needs no token, or has a valid one."""
        if request.path.rstrip("/") in (TOKEN_PATH, VERSIONS_PATH):
            return True
        return self.tokens.accepts(request.headers.get("Authorization", ""))

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a call, also a refused one."""
        text = await request.read()
        if request.path == TOKEN_PATH:
            return self._token(request, text.decode(errors="replace"))
        if request.method == "GET" and request.path.rstrip("/") == VERSIONS_PATH:
            url = f"{VERSIONS_PATH}/v{NEWEST}.0"
            versions = [{"version": f"{NEWEST}.0", "url": url, "label": "Newest"}]
            return web.json_response(versions)
        try:
            self.allowance.spend()
            return self.shown(self._known(_call(request, text)))
        except Refused as error:
            return self.refusal(error)

    def refusal(self, error: Refused) -> web.Response:
        """Return the answer to a refused call."""
        return self.shown(Reply(error.status, error.body))

    def shown(self, reply: Reply) -> web.Response:
        """Return a reply as an answer, which shows the allowance."""
        headers = {**reply.headers, "Sforce-Limit-Info": self.allowance.header}
        if reply.body is None:
            return web.Response(status=reply.status, headers=headers)
        return web.json_response(reply.body, status=reply.status, headers=headers)

    def _token(self, request: web.Request, text: str) -> web.Response:
        form = dict(parse_qsl(text)) if request.content_type == _FORM else {}
        address = f"{request.scheme}://{request.host}"
        header = request.headers.get("Authorization", "")
        try:
            return web.json_response(self.tokens.issue(form, header, address, self.rest.org.user))
        except TokenRefused as error:
            return web.json_response(error.body, status=400)

    def _known(self, call: RestCall) -> Reply:
        if call.method != "POST" or not call.path.endswith("/composite"):
            return self.rest.answer(call)
        before = dict(self.rest.org.rows)
        return answer_composite(call, self.rest.answer, lambda: self.rest.org.restore(before))


def writes_in(text: bytes) -> list[str]:
    """Return the methods of the writing parts of a composite, also of refused ones."""
    body = _readable(text)
    parts = body.get("compositeRequest") if isinstance(body, dict) else None
    methods = [part.get("method") for part in parts or () if isinstance(part, dict)]
    return [str(method) for method in methods if method != "GET"]


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
