"""The sandbox: an object that serves Stripe's API under the control of a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from zenskar.http.lookalike import DeliveryRetries, EditRefused, LookAlike

from .core import Core, Options
from .errors import ApiError
from .events import EVENT_TYPES
from .signing import signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from .dashboard import Dashboard

_Edit = Callable[[str, dict[str, Any]], Any]


class StripeSandbox(LookAlike):
    """A local Stripe, as an async context manager."""

    event_types = EVENT_TYPES
    user_agent = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"

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
        super().__init__(
            host=host,
            port=port,
            store_path=store_path,
            clock=clock,
            webhook_retries=DeliveryRetries(
                webhook_retry_base, webhook_max_attempts, webhook_timeout
            ),
            remote_webhooks=remote_webhooks,
        )
        self._options = Options(
            api_key=api_key,
            seed=seed,
            search_lag=search_lag,
            idempotency_lifetime=idempotency_lifetime,
        )
        self._core: Core | None = None

    @property
    def api_key(self) -> str:
        """Return the only key that the API accepts."""
        return self._options.api_key

    @property
    def dashboard(self) -> Dashboard:
        """Return the dashboard, whose edits belong to no API request."""
        return self._own().dashboard

    def prepare(self) -> None:
        """Build the parts that are Stripe's own."""
        self._core = Core(self._options, self)

    def routes(self) -> Iterable[web.RouteDef]:
        """Return one route for every call."""
        return [web.route("*", "/{tail:.*}", self._answer)]

    async def call(self, request: web.Request, handler: object) -> web.StreamResponse:  # noqa: ARG002
        """Answer a call: credentials and idempotency keys go with the faults."""
        return await self._answer(request)

    def sign(self, body: bytes, at: int, secret: str, url: str = "") -> Mapping[str, str]:  # noqa: ARG002
        """Return the `Stripe-Signature` of a webhook."""
        return {"Stripe-Signature": signature(secret, at, body)}

    def new_endpoint_id(self) -> str:
        """Return an id in Stripe's form."""
        return self._own().ids.endpoint()

    def edits(self) -> Sequence[tuple[str, str, _Edit]]:
        """Return the edits of the dashboard."""
        return (
            ("POST", "customers", _edit(lambda _, values: self.dashboard.create(values))),
            ("POST", "customers/{id}", _edit(self.dashboard.update)),
            ("DELETE", "customers/{id}", _edit(lambda key, _: self.dashboard.delete(key))),
        )

    def clear_objects(self) -> None:
        """Remove customers and keys."""
        self._own().clear()

    async def stop(self) -> None:
        """Stop at once; pending deliveries stay in the store, if the sandbox has a store."""
        await super().stop()
        self._core = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        return await self._own().api.handle(request)

    def _own(self) -> Core:
        if self._core is None:
            raise RuntimeError("the sandbox is not running: enter it with `async with` first")
        return self._core


def _edit(edit: _Edit) -> _Edit:
    """Return an edit whose refusal has Stripe's form."""

    def refused(identifier: str, values: dict[str, Any]) -> Any:
        try:
            return edit(identifier, values)
        except ApiError as error:
            raise EditRefused(error.status, error.body()) from error

    return refused
