"""The control surface below `/_sandbox`, for tests and people on this machine."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from .faults import Fault, FaultKind, Faults
from .problems import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .org import Org
    from .server import LoggedRequest
    from .tokens import Tokens

    Handler = Callable[[web.Request], Awaitable[web.Response]]

PREFIX = "/_sandbox"


@dataclass(frozen=True, slots=True)
class Controlled:
    """The parts of a sandbox that the surface controls."""

    org: Org
    faults: Faults
    tokens: Tokens
    requests: list[LoggedRequest]


class SandboxControl:
    """Edits contacts as a person in the browser does, injects faults, and shows requests."""

    def __init__(self, sandbox: Controlled) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the surface."""
        one = PREFIX + "/contacts/{id}"
        return [
            web.get(f"{PREFIX}/contacts", _guarded(self.contacts)),
            web.post(f"{PREFIX}/contacts", _guarded(self.create)),
            web.patch(one, _guarded(self.update)),
            web.delete(one, _guarded(self.delete)),
            web.post(f"{one}/undelete", _guarded(self.undelete)),
            web.post(f"{one}/merge", _guarded(self.merge)),
            web.post(f"{PREFIX}/faults", _guarded(self.add_fault)),
            web.delete(f"{PREFIX}/faults", _guarded(self.clear_faults)),
            web.get(f"{PREFIX}/requests", _guarded(self.requests)),
            web.delete(f"{PREFIX}/tokens", _guarded(self.revoke_tokens)),
        ]

    async def contacts(self, _: web.Request) -> web.Response:
        """Return every contact, also those in the recycle bin."""
        return web.json_response({"data": list(self._sandbox.org.rows.values())})

    async def create(self, request: web.Request) -> web.Response:
        """Create a contact as a person."""
        identifier = self._sandbox.org.create(await _body(request), self._sandbox.org.person)
        return web.json_response(self._sandbox.org.rows[identifier], status=201)

    async def update(self, request: web.Request) -> web.Response:
        """Change a contact as a person."""
        org, identifier = self._sandbox.org, request.match_info["id"]
        org.update(identifier, await _body(request), org.person)
        return web.json_response(org.rows[org.found_id(identifier)])

    async def delete(self, request: web.Request) -> web.Response:
        """Put a contact into the recycle bin."""
        self._sandbox.org.delete(request.match_info["id"], self._sandbox.org.person)
        return web.json_response({"deleted": True})

    async def undelete(self, request: web.Request) -> web.Response:
        """Take a contact out of the recycle bin."""
        self._sandbox.org.undelete(request.match_info["id"], self._sandbox.org.person)
        return web.json_response({"deleted": False})

    async def merge(self, request: web.Request) -> web.Response:
        """Merge the contacts in `losers` into this contact, with the chosen `values`."""
        body, org = await _body(request), self._sandbox.org
        losers = [str(each) for each in body.get("losers") or ()]
        org.merge(request.match_info["id"], losers, body.get("values") or {}, org.person)
        return web.json_response(org.rows[org.found_id(request.match_info["id"])])

    async def add_fault(self, request: web.Request) -> web.Response:
        """Inject a fault."""
        body = await _body(request)
        try:
            fault = Fault(**{**body, "kind": FaultKind(str(body.get("kind")))})
        except (TypeError, ValueError):
            return web.json_response({"error": {"message": "no such fault"}}, status=400)
        self._sandbox.faults.add(fault)
        return web.json_response(asdict(fault), status=201)

    async def clear_faults(self, _: web.Request) -> web.Response:
        """End every injection."""
        self._sandbox.faults.clear()
        return web.json_response({"deleted": True})

    async def requests(self, _: web.Request) -> web.Response:
        """Return the requests, oldest first, without their credentials."""
        data = [asdict(each) for each in self._sandbox.requests]
        for each in data:
            each["headers"].pop("authorization", None)
        return web.json_response({"data": data})

    async def revoke_tokens(self, _: web.Request) -> web.Response:
        """End every access token."""
        self._sandbox.tokens.revoke()
        return web.json_response({"deleted": True})


def is_allowed(request: web.Request) -> bool:
    """Return whether a request comes from this machine, and from no web page of another site.

    A domain name that resolves to this machine (DNS rebinding) still shows in the `Host` header.
    """
    own = f"http://{request.headers.get('Host')}"
    return (
        _is_loopback(request.remote)
        and is_for_this_machine(request)
        and request.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site")
        and all(origin == own for origin in request.headers.getall("Origin", []))
        and (not request.body_exists or request.content_type == "application/json")
    )


def is_for_this_machine(request: web.Request) -> bool:
    """Return whether the `Host` header names this machine."""
    try:
        host = urlsplit(f"//{request.headers.get('Host')}").hostname
    except ValueError:
        return False
    return host == "localhost" or _is_loopback(host)


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _guarded(handler: Handler) -> Handler:
    async def guard(request: web.Request) -> web.Response:
        if not is_allowed(request):
            text = "the control surface answers to JSON from this machine only"
            return web.json_response({"error": {"message": text}}, status=403)
        try:
            return await handler(request)
        except Refused as error:
            return web.json_response(error.body, status=error.status)

    return guard


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body
