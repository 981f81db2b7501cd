"""The sandbox: an object that serves Stripe's API under the control of a test."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Self

from aiohttp import web

from .control import Control
from .core import Core, Options
from .guard import is_for_this_machine, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from .dashboard import Dashboard
    from .endpoints import WebhookEndpoint
    from .faults import Faults
    from .log import Log, LoggedCall, LoggedDelivery

_GRACE = 2.0


class StripeSandbox:
    """A local Stripe, as an async context manager."""

    def __init__(  # noqa: PLR0913 - every option is a keyword with a default
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "sk_test_zenskar_sandbox",
        store_path: Path | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        webhook_retry_base: float = 1.0,
        webhook_max_attempts: int = 10,
        webhook_timeout: float = 10.0,
        search_lag: float = 0.0,
        idempotency_lifetime: float = 86_400.0,
        remote_webhooks: bool = False,
    ) -> None:
        self._options = Options(
            host=host,
            port=port,
            api_key=api_key,
            store_path=store_path,
            seed=seed,
            clock=clock,
            webhook_retry_base=webhook_retry_base,
            webhook_max_attempts=webhook_max_attempts,
            webhook_timeout=webhook_timeout,
            search_lag=search_lag,
            idempotency_lifetime=idempotency_lifetime,
        )
        self._remote_webhooks = remote_webhooks
        self._core: Core | None = None
        self._runner: web.AppRunner | None = None

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

    @property
    def api_key(self) -> str:
        """Return the only key that the API accepts."""
        return self._options.api_key

    @property
    def base_url(self) -> str:
        """Return the URL of the API, without a trailing slash."""
        if self._runner is None:
            raise _not_running()
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def dashboard(self) -> Dashboard:
        """Return the dashboard, whose edits belong to no API request."""
        return self._running().dashboard

    @property
    def faults(self) -> Faults:
        """Return the injected faults."""
        return self._running().faults

    @property
    def requests(self) -> Log[LoggedCall]:
        """Return the API calls, oldest first."""
        return self._running().requests

    @property
    def deliveries(self) -> Log[LoggedDelivery]:
        """Return the webhook attempts, oldest first."""
        return self._running().deliveries.log

    def add_webhook_endpoint(
        self, url: str, secret: str, events: Iterable[str] | None = None
    ) -> WebhookEndpoint:
        """Add a webhook endpoint; an endpoint with a known URL gets the new secret and types."""
        return self._running().endpoints.add(url, secret, events)

    def remove_webhook_endpoint(self, identifier: str) -> bool:
        """Remove a webhook endpoint; return whether it existed."""
        return self._running().remove_endpoint(identifier)

    def webhook_endpoints(self) -> list[WebhookEndpoint]:
        """Return the configured endpoints."""
        return list(self._running().endpoints)

    def shift_clock(self, seconds: float) -> None:
        """Set the clock's offset, which events, signatures and `Date` headers show."""
        self._running().clock.shift = seconds

    async def settle(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - reads as asyncio's
        """Wait until no delivery or delayed effect is pending. Raises `TimeoutError`."""
        await self._running().settle(timeout)

    async def clear(self) -> None:
        """Remove customers, events, keys, deliveries and logs; keep endpoints and faults."""
        await self._running().clear()

    async def start(self) -> None:
        """Open the store, listen and resume pending deliveries. Raises `OSError` when it cannot."""
        core = Core(self._options)
        app = web.Application()
        app.add_routes(Control(core, remote_webhooks=self._remote_webhooks).routes())
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._options.host, self._options.port).start()
        except OSError as error:
            await runner.cleanup()
            await core.close()
            raise self._cannot_listen(error) from error
        self._core, self._runner = core, runner
        core.deliveries.start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Answer an API request; on a loopback address, refuse a foreign `Host` header."""
        if is_loopback(self._options.host) and not is_for_this_machine(request):
            raise web.HTTPForbidden(text="the sandbox answers to localhost with its own port only")
        return await self._running().api.handle(request)

    async def stop(self) -> None:
        """Stop at once; pending deliveries stay in the store, if the sandbox has a store."""
        core, runner, self._core, self._runner = self._core, self._runner, None, None
        if core is None or runner is None:
            return
        core.background.interrupt()
        await runner.cleanup()
        await core.close()

    def _running(self) -> Core:
        if self._core is None:
            raise _not_running()
        return self._core

    def _cannot_listen(self, error: OSError) -> OSError:
        address = f"{self._options.host}:{self._options.port}"
        number = error.errno or 0
        # Failed name look-ups have negative numbers, which are no error numbers of the system.
        reason = os.strerror(number).lower() if number > 0 else str(error)
        return OSError(number, f"cannot listen on {address}: {reason}")


def _not_running() -> RuntimeError:
    return RuntimeError("the sandbox is not running: enter it with `async with` first")
