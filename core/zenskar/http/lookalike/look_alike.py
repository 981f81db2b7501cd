"""A server to build the look-alike of an external system on."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from aiohttp import web

from zenskar.http.lookalike.broken_answers import sent
from zenskar.http.lookalike.call_log import LoggedCall
from zenskar.http.lookalike.control import Control
from zenskar.http.lookalike.deliveries import (
    CONTENT_TYPE,
    DeliveryRetries,
    WebhookSender,
    as_json,
)
from zenskar.http.lookalike.faulty_calls import answered, refused_by
from zenskar.http.lookalike.guard import is_for_this_machine, is_loopback
from zenskar.http.lookalike.record_store import MemoryStore, SqliteStore
from zenskar.http.lookalike.running import Running, WebhookForm
from zenskar.http.lookalike.shifted_clock import ShiftedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from zenskar.http.lookalike.call_log import Log, LoggedDelivery
    from zenskar.http.lookalike.control import Edit
    from zenskar.http.lookalike.endpoints import WebhookEndpoint
    from zenskar.http.lookalike.faults import Fault, Faults
    from zenskar.http.lookalike.faulty_calls import Handler
    from zenskar.http.lookalike.record_store import Record, Store

_GRACE = 2.0
_CONTROL = "/_sandbox/"


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """A webhook as the look-alike sends it."""

    headers: Mapping[str, str]
    body: bytes


class LookAlike:
    """An imitation of an external system, as an async context manager.

    A subclass returns the `routes` of the API with aiohttp handlers, `refuse`s callers without
    credentials, signs webhooks and calls `emit` with each event. The rest is here: faults of calls
    and webhooks, retries, the logs, and the control surface under `/_sandbox/`.

    `store_path` keeps endpoints, events and pending deliveries in a file. Webhooks go to this
    machine only, unless `remote_webhooks` is set.
    """

    event_types: ClassVar[Collection[str] | None] = None
    """The types that an endpoint may name; None: any."""
    user_agent: ClassVar[str] = "look-alike"
    """The `User-Agent` of the webhooks."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        store_path: Path | None = None,
        clock: Callable[[], float] = time.time,
        webhook_retries: DeliveryRetries | None = None,
        remote_webhooks: bool = False,
    ) -> None:
        self.clock = ShiftedClock(clock)
        self._address = host, port
        self._store_path = store_path
        self._retries = webhook_retries or DeliveryRetries()
        self._remote_webhooks = remote_webhooks
        self._parts: Running | None = None
        self._runner: web.AppRunner | None = None

    # --- the parts of a subclass ------------------------------------------------------------

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the routes of the API."""
        return ()

    def refuse(self, request: web.Request) -> web.Response | None:  # noqa: ARG002
        """Return the answer to a caller without the right credentials, None for another."""
        return None

    def encode(self, event: Record) -> bytes:
        """Return the body of a webhook with an event, for each attempt; by default JSON."""
        return as_json(event)

    def sign(self, body: bytes, at: int, secret: str, url: str = "") -> Mapping[str, str]:  # noqa: ARG002
        """Return the headers of a webhook that is sent to a URL at a Unix second."""
        signed = f"{at}.".encode() + body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return {"X-Timestamp": str(at), "X-Signature": f"sha256={digest}"}

    def acknowledged(self, status: int, answer: str) -> bool:  # noqa: ARG002
        """Return whether an answer ends the retries of a webhook; by default any 2xx."""
        return 200 <= status < 300

    def refused(self, fault: Fault) -> web.Response:
        """Return the answer of a fault that refuses a call."""
        return refused_by(fault)

    def edits(self) -> Sequence[tuple[str, str, Edit]]:
        """Return the edits of a person as control routes: method, path below `/_sandbox/`, edit."""
        return ()

    def new_endpoint_id(self) -> str:
        """Return the id of another webhook endpoint."""
        return f"endpoint_{uuid.uuid4().hex}"

    def prepare(self) -> None:
        """Build what needs the store; called at each start, before the first call."""

    async def call(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a call of the API by its handler, with the fault that hits it, and log it."""
        running = self.running
        answer = self.refuse(request)
        fault = None
        if answer is None:
            fault = running.faults.for_call(request.method, request.path)
            answer = await answered(request, handler, fault, running.background, self.refused)
        if answer is not None:
            answer.headers["Date"] = self.clock.header()
        lost = answer is None or (fault is not None and fault.kind.silent)
        running.requests.add(self._logged(request, None if lost else answer, fault))
        return await sent(request, answer, fault)

    # --- the running look-alike -------------------------------------------------------------

    @property
    def running(self) -> Running:
        """Return the parts of the running look-alike. Raises `RuntimeError` before the start."""
        if self._parts is None:
            raise _not_running()
        return self._parts

    @property
    def base_url(self) -> str:
        """Return the URL of the API, without a trailing slash.

        Raises `RuntimeError` while the look-alike does not run.
        """
        if self._runner is None:
            raise _not_running()
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def faults(self) -> Faults:
        """Return the injected faults."""
        return self.running.faults

    @property
    def requests(self) -> Log[LoggedCall]:
        """Return the calls, oldest first."""
        return self.running.requests

    @property
    def deliveries(self) -> Log[LoggedDelivery]:
        """Return the webhook attempts, oldest first."""
        return self.running.deliveries.log

    @property
    def events(self) -> list[Record]:
        """Return the emitted events, oldest first."""
        return list(self.running.events.by_id.values())

    def emit(self, event: Record) -> None:
        """Send an event with an `id` and a `type` to every endpoint that wants it."""
        self.running.events.add(event)

    def signed(self, event: Any, secret: str, url: str = "") -> SignedWebhook:
        """Return a genuine webhook of now with an event, or with the given bytes."""
        body = event if isinstance(event, bytes) else self.encode(event)
        headers = self.sign(body, int(self.clock()), secret, url)
        return SignedWebhook({"Content-Type": CONTENT_TYPE, **headers}, body)

    def add_webhook_endpoint(
        self, url: str, secret: str, events: Iterable[str] | None = None
    ) -> WebhookEndpoint:
        """Add a webhook endpoint; an endpoint with a known URL gets the new secret and types."""
        return self.running.endpoints.add(url, secret, events)

    def send_webhooks_only_to(self, url: str, secret: str) -> None:
        """Replace the webhook endpoints by an endpoint with this URL."""
        for endpoint in self.webhook_endpoints():
            if endpoint.url != url:
                self.remove_webhook_endpoint(endpoint.id)
        self.add_webhook_endpoint(url, secret)

    def remove_webhook_endpoint(self, identifier: str) -> bool:
        """Remove a webhook endpoint; return whether it existed."""
        return self.running.remove_endpoint(identifier)

    def webhook_endpoints(self) -> list[WebhookEndpoint]:
        """Return the configured endpoints."""
        return list(self.running.endpoints)

    def shift_clock(self, seconds: float) -> None:
        """Set the clock's offset, which events, signatures and `Date` headers show."""
        self.clock.shift = seconds

    async def settle(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - reads as asyncio's
        """Wait until no delivery or delayed effect is pending. Raises `TimeoutError`."""
        await self.running.settle(timeout)

    async def clear(self) -> None:
        """Remove objects, events, deliveries and logs; keep endpoints and faults."""
        await self.running.background.cancel()
        with self.running.store.transaction():
            self.clear_objects()
            self.running.clear()

    def clear_objects(self) -> None:
        """Remove the objects of a subclass."""

    async def start(self) -> None:
        """Open the store, listen and resume pending deliveries. Raises `OSError` when it cannot."""
        store: Store = MemoryStore() if self._store_path is None else SqliteStore(self._store_path)
        sender = WebhookSender(
            self.encode, self.sign, self.acknowledged, self.user_agent, self._retries
        )
        form = WebhookForm(sender, self.new_endpoint_id, self.event_types)
        self._parts = parts = Running(store, self.clock, form)
        self.prepare()
        runner = web.AppRunner(self._app(parts), access_log=None, shutdown_timeout=_GRACE)
        try:
            await runner.setup()
            await web.TCPSite(runner, *self._address).start()
        except OSError as error:
            self._parts = None
            await runner.cleanup()
            await parts.close()
            raise self._cannot_listen(error) from error
        self._runner = runner
        parts.deliveries.start()

    async def stop(self) -> None:
        """Stop at once; pending deliveries stay in the store, if there is a store."""
        parts, runner, self._parts, self._runner = self._parts, self._runner, None, None
        if parts is None or runner is None:
            return
        parts.background.interrupt()
        await runner.cleanup()
        await parts.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _app(self, parts: Running) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        control = Control(parts, self.clear, self.edits(), remote_webhooks=self._remote_webhooks)
        app.add_routes([*control.routes(), *self.routes()])
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a foreign `Host` header on a loopback address; the control has its own guard."""
        if request.path.startswith(_CONTROL):
            return await handler(request)
        if is_loopback(self._address[0]) and not is_for_this_machine(request):
            raise web.HTTPForbidden(text="this server answers to localhost with its own port only")
        return await self.call(request, handler)

    def _logged(
        self, request: web.Request, answer: web.Response | None, fault: Fault | None
    ) -> LoggedCall:
        return LoggedCall(
            request_id=uuid.uuid4().hex,
            time=self.clock(),
            method=request.method,
            path=request.path,
            idempotency_key=request.headers.get("Idempotency-Key"),
            status=None if answer is None else answer.status,
            fault=fault.kind.value if fault else None,
        )

    def _cannot_listen(self, error: OSError) -> OSError:
        host, port = self._address
        number = error.errno or 0
        # Failed name look-ups have negative numbers, which are no error numbers of the system.
        reason = os.strerror(number).lower() if number > 0 else str(error)
        return OSError(number, f"cannot listen on {host}:{port}: {reason}")


def _not_running() -> RuntimeError:
    return RuntimeError("the look-alike is not running: enter it with `async with` first")
