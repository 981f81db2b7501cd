"""The `/v1` surface: credentials, faults, idempotency keys, execution, answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from zenskar.http.lookalike import (
    Background,
    Fault,
    FaultKind,
    Faults,
    Interrupted,
    Log,
    LoggedCall,
    sent,
)

from .auth import authorize, check_version, plain
from .errors import ApiError, injected, rate_limited, server_error
from .events import API_VERSION, Origin
from .forms import Pairs, nest
from .idempotency import Answer, IdempotencyKeys
from .wire import read_pairs, whole

if TYPE_CHECKING:
    from aiohttp import web

    from zenskar.http.lookalike import ShiftedClock, Store

    from .ids import Ids
    from .routes import Routes


@dataclass(frozen=True, slots=True)
class Call:
    """An API request; GET and DELETE have no key, because Stripe ignores keys of these methods."""

    request_id: str
    method: str
    path: str
    key: str | None
    version: str

    def headers(self) -> dict[str, str]:
        """Return the headers that every answer carries."""
        headers = {"Request-Id": self.request_id, "Stripe-Version": self.version}
        if self.key is not None:
            headers |= {"Idempotency-Key": self.key, "Original-Request": self.request_id}
        return headers


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that the API uses."""

    store: Store
    ids: Ids
    clock: ShiftedClock
    keys: IdempotencyKeys
    faults: Faults
    routes: Routes
    background: Background
    log: Log[LoggedCall]
    api_key: str


class Api:
    """Answers API requests."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request and log it."""
        call, fault = self._call(request), None
        try:
            authorize(request.headers, self._parts.api_key)
            check_version(call.version)
            fault = self._parts.faults.for_call(call.method, call.path)
            answer = await self._answer(request, call, fault)
        except ApiError as error:
            answer = _refusal(error)
        except Interrupted:
            answer = None
        if fault is not None and fault.kind.silent:
            answer = None
        self._log(call, fault, answer)
        headers = {**call.headers(), "Date": self._parts.clock.header()}
        return await sent(request, None if answer is None else whole(answer, headers), fault)

    def _call(self, request: web.Request) -> Call:
        key = request.headers.get("Idempotency-Key")
        return Call(
            request_id=self._parts.ids.request(),
            method=request.method,
            path=request.path,
            key=plain(key) if request.method == "POST" and key else None,
            version=plain(request.headers.get("Stripe-Version", API_VERSION)),
        )

    async def _answer(self, request: web.Request, call: Call, fault: Fault | None) -> Answer | None:
        kind = fault and fault.kind
        if fault is not None and kind is FaultKind.RATE_LIMITED:
            raise rate_limited(fault.reason, fault.retry_after)
        if fault is not None and kind is FaultKind.REFUSE:
            raise injected(fault.status, fault.code, fault.reason)
        pairs = await read_pairs(request)
        if kind is FaultKind.DROP_REQUEST:
            return None
        if fault is not None and kind is FaultKind.ZOMBIE:
            self._parts.background.spawn(self._late(call, pairs, fault.delay_seconds))
            return None
        delay = fault.delay_seconds if fault and kind is FaultKind.DELAY else 0.0
        return await self._perform(call, pairs, fault, after=delay)

    async def _perform(
        self, call: Call, pairs: Pairs, fault: Fault | None, before: float = 0, after: float = 0
    ) -> Answer:
        """Execute a request; its key stays in use during both waits."""
        keys = self._parts.keys
        with keys.claim(call.key, call.path, pairs, call.request_id) as claim:
            await self._parts.background.pause(before)
            answer = claim.kept
            if answer is None:
                with self._parts.store.transaction():
                    answer = self._execute(call, pairs, fault)
                    claim.keep(answer)
            await self._parts.background.pause(after)
        return answer

    async def _late(self, call: Call, pairs: Pairs, delay: float) -> None:
        try:
            await self._perform(call, pairs, None, before=delay)
        except (ApiError, Interrupted):
            return

    def _execute(self, call: Call, pairs: Pairs, fault: Fault | None) -> Answer:
        broken = fault is not None and fault.kind is FaultKind.SERVER_ERROR
        try:
            if not broken or (fault and fault.effect):
                origin = Origin(call.request_id, call.key)
                found = self._parts.routes.execute(call.method, call.path, nest(pairs), origin)
            if broken:
                raise server_error()
        except ApiError as error:
            return _refusal(error)
        return Answer(200, orjson.dumps(found, option=orjson.OPT_INDENT_2))

    def _log(self, call: Call, fault: Fault | None, answer: Answer | None) -> None:
        entry = LoggedCall(
            request_id=call.request_id,
            time=self._parts.clock(),
            method=call.method,
            path=call.path,
            idempotency_key=call.key,
            status=answer.status if answer else None,
            replayed=bool(answer and "Idempotent-Replayed" in answer.headers),
            fault=fault.kind.value if fault else None,
        )
        self._parts.log.add(entry)


def _refusal(error: ApiError) -> Answer:
    body = orjson.dumps(error.body(), option=orjson.OPT_INDENT_2)
    return Answer(error.status, body, error.headers)
