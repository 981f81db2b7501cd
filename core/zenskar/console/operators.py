"""Recognize the operator of a request: by the session of a login, or as the person at this machine.

The token of forms is a hash of the token of the session. A page of another site knows neither.
"""

import hashlib
import hmac
import secrets
from contextlib import suppress
from typing import Protocol

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.api.http.auth import ANONYMOUS, KeyRing
from zenskar.api.http.clients import Clients, client_address
from zenskar.console.page import ROOT, Operator
from zenskar.db.driver.engine import in_transaction
from zenskar.db.operators import console_sessions
from zenskar.errors import Unavailable
from zenskar.model.scope import Scope

COOKIE = "zenskar_console"


class Doorkeeper(Protocol):
    """Recognizes operators."""

    @property
    def asks(self) -> bool:
        """Whether an operator has to log in."""

    async def recognize(self, request: web.Request) -> Operator | None:
        """Return the operator of a request, None for a stranger."""

    async def admit(self, request: web.Request, key: str, response: web.Response) -> None:
        """Begin a session for an API key; the response carries it.

        Raises 401 for a wrong key, 429 for a wrong key from a throttled address.
        """

    async def dismiss(self, request: web.Request, response: web.Response) -> None:
        """End the session of a request."""


class OpenDoor:
    """Recognizes everyone, where the API asks for no key: on a loopback address alone."""

    asks = False

    def __init__(self) -> None:
        self._operator = Operator(ANONYMOUS, Scope.ADMIN, secrets.token_hex(32))

    async def recognize(self, _request: web.Request) -> Operator | None:
        """Return the person at this machine."""
        return self._operator

    async def admit(self, request: web.Request, key: str, response: web.Response) -> None:
        """Do nothing."""

    async def dismiss(self, request: web.Request, response: web.Response) -> None:
        """Do nothing."""


class Login:
    """Recognizes operators by a session that an API key has begun."""

    asks = True

    def __init__(self, engine: AsyncEngine, keys: KeyRing, clients: Clients) -> None:
        self._engine = engine
        self._keys = keys
        self._clients = clients

    async def recognize(self, request: web.Request) -> Operator | None:
        """Return the operator of the session in the cookie, None without a session in force."""
        token = request.cookies.get(COOKIE)
        # The tokens of sessions are ASCII; other bytes in a cookie have no hash.
        if not token or not token.isascii():
            return None
        found = await in_transaction(self._engine, lambda c: console_sessions.find(c, token))
        if found is None:
            return None
        if found.stale:
            # A database that refuses to write, as with a full disk, still shows the pages.
            with suppress(Unavailable):
                await in_transaction(self._engine, lambda c: console_sessions.touch(c, token))
        return Operator(found.key_name, found.scope, _form_token(token), found.key_id)

    async def admit(self, request: web.Request, key: str, response: web.Response) -> None:
        """Begin a session, and set its cookie."""
        caller = await self._keys.identify(f"Bearer {key.strip()}", client_address(request))
        token = await in_transaction(self._engine, lambda c: console_sessions.begin(c, caller.id))
        response.set_cookie(
            COOKIE,
            token,
            path=ROOT,
            max_age=console_sessions.LIFETIME_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=self._clients.is_encrypted(request),
        )

    async def dismiss(self, request: web.Request, response: web.Response) -> None:
        """End the session, and delete its cookie."""
        if token := request.cookies.get(COOKIE):
            await in_transaction(self._engine, lambda c: console_sessions.end(c, token))
        response.del_cookie(COOKIE, path=ROOT)


def is_own(operator: Operator, token: str) -> bool:
    """Return whether the token of a form belongs to an operator."""
    return hmac.compare_digest(operator.token.encode(), token.encode())


def _form_token(token: str) -> str:
    return hashlib.sha256(f"form:{token}".encode()).hexdigest()
