"""A proxy before a look-alike server, which breaks the calls of an integration."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import StrEnum
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

_HOP_BY_HOP = {
    *("connection", "content-length", "host", "keep-alive", "te", "trailer"),
    *("transfer-encoding", "upgrade"),
}


class ConnectionFault(StrEnum):
    """A fault without an answer: before the call, after its effect, or none until the end."""

    BREAK = "break"
    LOSE_ANSWER = "lose_answer"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status that the look-alike does not see; the answer repeats the whole request."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class FaultProxy:
    """Passes calls on to `target`, unless a fault breaks them.

    `calls` holds the methods of all calls. The answers of a `Refusal` have the `Date` of now.
    """

    def __init__(self, target: str, now: Callable[[], int]) -> None:
        self.calls: list[str] = []
        self.arrived = asyncio.Event()
        self._target, self._now = target.rstrip("/"), now
        self._fault: ConnectionFault | Refusal | None = None
        self._next_write: ConnectionFault | Refusal | None = None
        self._released = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._released.set()
        await self._runner.cleanup()
        await self._session.close()

    @property
    def address(self) -> str:
        """Return the base address of the proxy."""
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}{URL(self._target).raw_path.rstrip('/')}"

    @contextmanager
    def faulty(self, fault: ConnectionFault | Refusal) -> Iterator[None]:
        """Break every call within the block."""
        self.calls.clear()
        self.arrived.clear()
        self._fault = fault
        try:
            yield
        finally:
            self._fault = None

    def break_next_write(self, fault: ConnectionFault | Refusal) -> None:
        """Break the next call that is no GET; `arrived` is set when it arrives."""
        self.arrived.clear()
        self._next_write = fault

    def _take_fault(self, method: str) -> ConnectionFault | Refusal | None:
        if self._next_write is None or method == "GET":
            return self._fault
        fault, self._next_write = self._next_write, None
        self.arrived.set()
        return fault

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body, fault = await request.read(), self._take_fault(request.method)
        self.calls.append(request.method)
        if self._fault is not None:
            self.arrived.set()
        if isinstance(fault, Refusal):
            return self._refuse(request, body, fault)
        if fault is ConnectionFault.HANG:
            await self._released.wait()
        answer = (
            web.Response() if fault is ConnectionFault.BREAK else await self._pass(request, body)
        )
        if fault is not None and request.transport is not None:
            request.transport.close()
        return answer

    async def _pass(self, request: web.Request, body: bytes) -> web.Response:
        base = str(URL(self._target).origin())
        async with self._session.request(
            request.method,
            URL(base + request.raw_path, encoded=True),
            headers=_end_to_end(request.headers),
            data=body,
            allow_redirects=False,
        ) as answer:
            headers = _end_to_end(answer.headers)
            return web.Response(status=answer.status, headers=headers, body=await answer.read())

    def _refuse(self, request: web.Request, body: bytes, refusal: Refusal) -> web.Response:
        said = f"{dict(request.headers)} {request.path_qs} {body.decode(errors='replace')}"
        answer: dict[str, Any] = {"message": said, "error": {"message": said, "type": "api_error"}}
        return web.Response(
            status=refusal.status,
            text=json.dumps(answer, ensure_ascii=False),
            content_type="application/json",
            headers={"Date": formatdate(self._now(), usegmt=True), **refusal.headers},
        )


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
