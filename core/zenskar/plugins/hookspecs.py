"""The hooks of an integration, in the order of its life.

Each connection has one integration object, and every hook is called on exactly the one that owns
the source system: no hook is ever broadcast, so there is one result and nothing to merge.
Implement them by subclassing `BaseIntegration`; no decorator is needed. Arguments are passed by
name and must not be changed. A coroutine hook is awaited by the core; the others must not block.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pluggy

from zenskar.errors import Failure
from zenskar.model.integration import (
    Change,
    ExternalObject,
    Health,
    Page,
    Push,
    PushResult,
    WebhookEvent,
    WebhookRequest,
)

PROJECT = "zenskar"
hookspec = pluggy.HookspecMarker(PROJECT)


class IntegrationSpec:
    """All hooks."""

    # --- start and stop ---------------------------------------------------------------------

    @hookspec
    async def open(self) -> None:
        """Build clients. Called once, in the loop that makes all later calls."""

    @hookspec
    async def close(self) -> None:
        """Release what `open` built. Called once, also when `open` failed half-way."""

    @hookspec
    async def health(self) -> Health:  # type: ignore[empty-body]
        """Tell whether the external system answers and takes our credentials. Cheap."""

    @hookspec
    async def account(self) -> str | None:
        """Name the account that the credentials open: its id, with its mode where it has several.
        The core shows it, remembers the first, and stops the connection when it is another. None
        when it cannot be read.
        """

    # --- webhooks ---------------------------------------------------------------------------

    @hookspec
    def verify_webhook(self, request: WebhookRequest) -> None:
        """Raise `BadSignature` unless the external system sent exactly these bytes just now."""

    @hookspec
    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:  # type: ignore[empty-body]
        """Turn a verified webhook into events. `body` is its JSON, already valid against the
        integration's `webhook_event` schema. Unknown event types are returned with `ignored`.
        """

    # --- transforming -----------------------------------------------------------------------

    @hookspec
    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:  # type: ignore[empty-body]
        """Return the canonical document of an external object, `seen.data` being present and
        valid against the integration's schema of that entity. Deterministic. A field that is left
        out was not seen and keeps what it was; null means empty.
        """

    @hookspec
    def from_canonical(self, change: Change) -> Mapping[str, Any]:  # type: ignore[empty-body]
        """Return the body of the push for a change, as JSON. It is stored before it is sent and
        sent again unchanged after a crash. Deterministic.
        """

    # --- calls ------------------------------------------------------------------------------

    @hookspec
    async def push(self, push: Push) -> PushResult:  # type: ignore[empty-body]
        """Make one call, with `push.idempotency_key` where the external system takes one. Do
        not retry. Raise whatever the client library raises; `classify_error` sorts it.
        """

    @hookspec
    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:  # type: ignore[empty-body]
        """Read one object, `data` None when it is proven to have been deleted. One that is not
        found is an error, which `classify_error` sorts as `NOT_VISIBLE`.
        """

    @hookspec
    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:
        """Find the object that carries this record's id, reading one's own writes; else None."""

    @hookspec
    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # type: ignore[empty-body]
        """Return one page of all objects, in an order that does not skip under changes."""

    @hookspec
    async def missed_events(self, since: datetime, cursor: str | None) -> Page:  # type: ignore[empty-body]
        """Return the present state of objects whose events may have been missed since then."""

    @hookspec
    def classify_error(self, error: Exception) -> Failure | None:
        """Say what must be done about an error of one of the calls, None when unknown."""
