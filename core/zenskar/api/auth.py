"""API keys: who asks, and how often one may guess."""

import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from zenskar.db import api_keys
from zenskar.db.engine import in_transaction
from zenskar.db.engines import AsyncConnection, AsyncEngine
from zenskar.sync.replay import Operator

ANONYMOUS = "anonymous"
_CLIENT = web.RequestKey("client", str)
_KEY = re.compile(r"zsk_([A-Za-z0-9]{8})_[A-Za-z0-9]{43}")
_NO_HASH = bytes(32)
Clock = Callable[[], float]


class Throttle:
    """Counts failures by address; too many in one window and the address has to wait."""

    def __init__(
        self, *, failures: int = 10, window_seconds: float = 60.0, clock: Clock = time.monotonic
    ) -> None:
        self._failures = failures
        self._window = window_seconds
        self._clock = clock
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Return for how many seconds nothing is taken from this address."""
        count, until = self._counts.get(address, (0, 0.0))
        return max(0.0, until - self._clock()) if count >= self._failures else 0.0

    def fail(self, address: str) -> None:
        """Count a failure."""
        now = self._clock()
        count, until = self._counts.pop(address, (0, 0.0))
        self._counts[address] = (count + 1, until) if until > now else (1, now + self._window)
        if len(self._counts) > 10_000:
            self._counts.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Known:
    key_id: str
    fresh_until: float


class KeyRing:
    """Checks API keys, and remembers for a few seconds those that were right."""

    def __init__(
        self,
        engine: AsyncEngine,
        throttle: Throttle,
        *,
        remember_seconds: float = 5.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._engine = engine
        self._throttle = throttle
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def admit(self, request: web.BaseRequest) -> None:
        """Let a request with a valid key pass, and remember whose it is."""
        request[_CLIENT] = await self.identify(
            request.headers.get("Authorization"), request.remote or ""
        )

    async def identify(self, authorization: str | None, address: str) -> str:
        """Return the id of the key; raise 401 for a wrong one, 429 for too many of them."""
        if not authorization:
            raise _unauthorized("an API key is needed: Authorization: Bearer KEY")
        scheme, _, key = authorization.partition(" ")
        match = _KEY.fullmatch(key.strip()) if scheme.lower() == "bearer" else None
        digest = api_keys.digest(match.group()) if match else _NO_HASH
        known = self._known.get(digest)
        if known and known.fresh_until > self._clock():
            return known.key_id
        # Whoever guesses behind the same address must not lock out a key that was right before.
        if known is None and (seconds := self._throttle.wait(address)):
            raise _too_many(seconds)
        key_id = await self._look_up(match.group(1), digest) if match else None
        if key_id is None:
            self._known.pop(digest, None)
            self._throttle.fail(address)
            raise _unauthorized("the API key is not valid")
        self._remember(digest, key_id)
        return key_id

    async def _look_up(self, prefix: str, digest: bytes) -> str | None:
        async def work(connection: AsyncConnection) -> str | None:
            found = await api_keys.living(connection, prefix)
            key_id, stored = found or (None, _NO_HASH)
            if not hmac.compare_digest(stored, digest) or key_id is None:
                return None
            await api_keys.used(connection, key_id)
            return key_id

        return await in_transaction(self._engine, work)

    def _remember(self, digest: bytes, key_id: str) -> None:
        self._known[digest] = _Known(key_id, self._clock() + self._remember_seconds)
        self._known.move_to_end(digest)
        if len(self._known) > 1_000:
            self._known.popitem(last=False)


def client(request: web.BaseRequest) -> str:
    """Return the id of the API key that the request came with."""
    key: str = request.get(_CLIENT, ANONYMOUS)
    return key


def operator(request: web.BaseRequest) -> Operator:
    """Return who asks, and from where, for the history."""
    key = client(request)
    name = key if key == ANONYMOUS else f"API key {key}"
    return Operator(name, request.remote or "an unknown address")


def _unauthorized(text: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": "Bearer"})


def _too_many(seconds: float) -> web.HTTPTooManyRequests:
    return web.HTTPTooManyRequests(
        text="too many wrong API keys came from this address",
        headers={"Retry-After": str(int(seconds) + 1)},
    )
