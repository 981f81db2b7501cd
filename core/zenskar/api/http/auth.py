"""Authenticate requests by API key, and throttle addresses that send wrong keys."""

import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.api.http.clients import client_address
from zenskar.api.http.routes import Parameter, scope_of
from zenskar.bus.batcher import Batcher
from zenskar.db import api_keys
from zenskar.db.api_keys import LivingKey
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import InvalidInput
from zenskar.model.actor import Actor, check_reason
from zenskar.model.scope import Scope

ANONYMOUS = "anonymous"
_REASON = "X-Reason"
REASON = Parameter(
    _REASON,
    "Why, for the audit: one line of at most 500 characters.",
    place="header",
    schema={"type": "string", "maxLength": 500},
)
"""The parameter of the routes whose requests the audit lists."""
_KEY = re.compile(r"zsk_([A-Za-z0-9]{8})_[A-Za-z0-9]{43}")
_NO_HASH = bytes(32)
_MAX_BATCH = 500
Clock = Callable[[], float]


class LoginThrottle:
    """Counts wrong keys by address, and makes an address wait after too many in one window."""

    def __init__(
        self, *, failures: int = 10, window_seconds: float = 60.0, clock: Clock = time.monotonic
    ) -> None:
        self._failures = failures
        self._window = window_seconds
        self._clock = clock
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Return for how many seconds an address has to wait."""
        count, until = self._counts.get(address, (0, 0.0))
        return max(0.0, until - self._clock()) if count >= self._failures else 0.0

    def fail(self, address: str) -> None:
        """Count a wrong key of an address."""
        now = self._clock()
        count, until = self._counts.pop(address, (0, 0.0))
        self._counts[address] = (count + 1, until) if until > now else (1, now + self._window)
        if len(self._counts) > 10_000:
            self._counts.popitem(last=False)


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The API key of a request."""

    id: str
    prefix: str
    scope: Scope


class _Sent(NamedTuple):
    """A key as the sender presented it."""

    prefix: str
    digest: bytes


_CALLER = web.RequestKey("caller", ClientKey)


class KeyRing:
    """Checks API keys, and remembers valid keys for a few seconds.

    A valid key is always accepted, even from a throttled address. Keys are looked up in batches,
    one query at a time, so guesses use one connection to the database at most.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        throttle: LoginThrottle,
        *,
        remember_seconds: float = 5.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._engine = engine
        self._throttle = throttle
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[ClientKey, float]] = OrderedDict()
        self._lookups: Batcher[_Sent, ClientKey | None] = Batcher(self._look_up, most=_MAX_BATCH)

    @web.middleware
    async def authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raise 401, 403 or 429 unless the request's key has the scope of its route."""
        needed = scope_of(request)
        if needed is not None:
            caller = await self.identify(_authorization(request), client_address(request))
            request[_CALLER] = caller
            structlog.contextvars.bind_contextvars(api_key=caller.prefix)
            require(request, needed)
        return await handler(request)

    async def identify(self, authorization: str | None, address: str) -> ClientKey:
        """Return the caller of a key.

        Raises 401 for a missing or wrong key, 429 for a wrong key from a throttled address.
        """
        if not authorization:
            raise _unauthorized("an API key is needed: Authorization: Bearer KEY")
        scheme, _, key = authorization.partition(" ")
        match = _KEY.fullmatch(key.strip()) if scheme.lower() == "bearer" else None
        if match is None:
            raise self._wrong(address)
        sent = _Sent(match[1], api_keys.digest(match[0]))
        caller, fresh_until = self._known.get(sent.digest, (None, 0.0))
        if caller is not None and fresh_until > self._clock():
            return caller
        found = await self._lookups.submit(sent)
        if found is None:
            self._known.pop(sent.digest, None)
            raise self._wrong(address)
        self._remember(sent.digest, found)
        return found

    async def _look_up(self, sent: Sequence[_Sent]) -> Sequence[ClientKey | None]:
        async def find_callers(db: AsyncConnection) -> list[ClientKey | None]:
            living = await api_keys.living(db, [each.prefix for each in sent])
            found = [_caller(living.get(each.prefix), each.digest) for each in sent]
            if right := {caller.id for caller in found if caller}:
                await api_keys.used(db, sorted(right))
            return found

        return await in_transaction(self._engine, find_callers)

    def _wrong(self, address: str) -> web.HTTPException:
        if seconds := self._throttle.wait(address):
            return _too_many(seconds)
        self._throttle.fail(address)
        return _unauthorized("the API key is not valid")

    def _remember(self, digest: bytes, caller: ClientKey) -> None:
        self._known[digest] = caller, self._clock() + self._remember_seconds
        self._known.move_to_end(digest)
        if len(self._known) > 1_000:
            self._known.popitem(last=False)


def require(request: web.Request, needed: Scope) -> None:
    """Raise 403 if the key of a request lacks a scope; a request without a key passes."""
    caller = request.get(_CALLER)
    if caller is not None and not caller.scope.covers(needed):
        raise web.HTTPForbidden(
            text=f"this needs a key of the scope {needed}; this one has {caller.scope}"
        )


def client(request: web.Request) -> str:
    """Return the id of the request's API key, `ANONYMOUS` without authentication."""
    caller = request.get(_CALLER)
    return ANONYMOUS if caller is None else caller.id


def operator(request: web.Request) -> Actor:
    """Return the actor of a request: its API key, its address, and the reason that it gives.

    Raises `InvalidInput` when the reason is not one line.
    """
    key = client(request)
    name = key if key == ANONYMOUS else f"API key {key}"
    return Actor(name, client_address(request), check_reason(request.headers.get(_REASON)))


def _authorization(request: web.Request) -> str | None:
    lines = request.headers.getall(hdrs.AUTHORIZATION, ())
    if len(lines) > 1:
        raise InvalidInput("Authorization: is given twice")
    return lines[0] if lines else None


def _caller(key: LivingKey | None, digest: bytes) -> ClientKey | None:
    right = hmac.compare_digest(key.hash if key else _NO_HASH, digest)
    return ClientKey(key.id, key.prefix, key.scope) if key and right else None


def _unauthorized(text: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": "Bearer"})


def _too_many(seconds: float) -> web.HTTPTooManyRequests:
    return web.HTTPTooManyRequests(
        text="too many wrong API keys came from this address",
        headers={"Retry-After": str(int(seconds) + 1)},
    )
