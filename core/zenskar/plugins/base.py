"""The base class of every integration."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from zenskar.errors import Failure, FailureKind, InvalidInput
from zenskar.model.call_limit import CallLimit, Usage
from zenskar.model.integration import (
    Change,
    Changes,
    Connection,
    ExternalObject,
    Health,
    Page,
    Push,
    PushResult,
    SandboxInfo,
    Setting,
    WebhookAnswer,
    WebhookEvent,
    WebhookRequest,
)

PLUGIN_API_VERSION = 1


class BaseIntegration:
    """An integration with one kind of external system; each connection has one object.

    A subclass must implement `to_canonical`, `from_canonical`, `push`, `fetch`, `find` and
    `list_page`, and for events `verify_webhook` with `parse_webhook`, or `changes`, or all of them;
    `hookspecs.py` says what each hook promises. The folder
    `schemas` beside the module holds JSON Schemas: `webhook_event.schema.json` and
    `<entity>.schema.json`.
    """

    plugin_api: ClassVar[int] = PLUGIN_API_VERSION
    """The version of the plugin API that the integration is written for."""
    entities: ClassVar[tuple[str, ...]] = ("customer",)
    """The entity types that the integration syncs."""
    carries: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """The top-level fields that the external system holds, by entity type; all by default.

    The core neither compares nor pushes the other fields.
    """
    settings: ClassVar[tuple[Setting, ...]] = ()
    """The settings of a connection, read from `<CONNECTION>_<NAME>`."""
    webhook_headers: ClassVar[tuple[str, ...]] = ()
    """Headers that every genuine POST has; without them the core does not read the body."""
    webhook_methods: ClassVar[tuple[str, ...]] = ("POST",)
    """The methods of webhooks and challenges: `POST`, `GET` or both."""
    idempotency_key_lifetime: ClassVar[timedelta | None] = None
    """How long a create with the same key is safe to repeat; None: never, find the object."""
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)
    """The largest difference between clocks of the external system, and to ours if unknown."""
    request_lifetime: ClassVar[timedelta] = timedelta(minutes=5)
    """How long a sent request without an answer may still take effect."""

    poll_every: ClassVar[timedelta | None] = None
    """How often `changes` is called; None: every `ZENSKAR_SWEEP_SECONDS`."""
    sandbox_on_request: ClassVar[bool] = False
    """Whether `zenskar dev` starts the sandbox only for `--with`."""
    fetch_many_limit: ClassVar[int] = 100
    """The most objects that one `fetch_many` is called with."""
    push_many_limit: ClassVar[int] = 100
    """The most pushes that one `push_many` is called with."""
    call_limits: ClassVar[tuple[CallLimit, ...]] = ()
    """The calls that the external system allows, by period and endpoint; the core keeps them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def open(self) -> None:
        """Build nothing by default."""

    async def close(self) -> None:
        """Release nothing by default."""

    async def health(self) -> Health:
        """Return ok by default, without a request."""
        return Health(ok=True, detail="not checked")

    async def account(self) -> str | None:
        """Return no account by default, so the core compares none."""
        return None

    def answer_challenge(self, request: WebhookRequest) -> WebhookAnswer | None:  # noqa: ARG002
        """Answer no check of the webhooks' address by default."""
        return None

    def verify_webhook(self, request: WebhookRequest) -> None:
        """Raise `BadSignature` unless the external system sent exactly these bytes just now."""
        raise NotImplementedError

    def read_webhook(self, request: WebhookRequest) -> Any:
        """Return the JSON of the body; the core itself reads it faster than this default."""
        try:
            return json.loads(request.body)
        except (ValueError, RecursionError):
            raise InvalidInput("the body is not JSON in UTF-8") from None

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Return the events of a verified webhook."""
        raise NotImplementedError

    def answer_webhook(
        self,
        request: WebhookRequest,  # noqa: ARG002
        accepted: int,  # noqa: ARG002
        dead: int,  # noqa: ARG002
    ) -> WebhookAnswer | None:
        """Leave the answer to the core by default."""
        return None

    async def changes(self, checkpoint: str | None) -> Changes:
        """Return the events since a checkpoint; without an override, the system is not polled."""
        raise NotImplementedError

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical document of an external object.

        A missing field keeps its value in the catalog; null empties the field.
        """
        raise NotImplementedError

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the body of the push for a change."""
        raise NotImplementedError

    async def push(self, push: Push) -> PushResult:
        """Make one call that creates, updates or deletes an object."""
        raise NotImplementedError

    async def push_many(self, pushes: Sequence[Push]) -> Sequence[PushResult | Exception]:
        """Make one push after another; the core itself calls `push` instead of this default."""
        return [await self.push(push) for push in pushes]

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
        """Return one object, with `data` None when its deletion is proven."""
        raise NotImplementedError

    async def fetch_many(
        self, entity_type: str, external_ids: Sequence[str]
    ) -> Sequence[ExternalObject]:
        """Fetch one object after another; the core itself calls `fetch` instead of this default."""
        return [await self.fetch(entity_type, each) for each in external_ids]

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:
        """Return the object that carries this record's id, None without one."""
        raise NotImplementedError

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:
        """Return one page of all objects."""
        raise NotImplementedError

    def usage(self) -> Sequence[Usage]:
        """Return no counts by default, so the core knows its own calls only."""
        return ()

    def classify_error(self, error: Exception) -> Failure | None:
        """Return `UNKNOWN_OUTCOME` for a timeout or a broken connection, else None."""
        if isinstance(error, (TimeoutError, ConnectionError)):
            return Failure(FailureKind.UNKNOWN_OUTCOME, f"{type(error).__name__} during the call")
        return None

    @classmethod
    def sandbox(
        cls,
        data_dir: Path,  # noqa: ARG003
        webhook_url: str,  # noqa: ARG003
    ) -> AbstractAsyncContextManager[SandboxInfo] | None:
        """Return a local sandbox of the external system for `zenskar dev`, None without one.

        The sandbox keeps its data in `data_dir` and sends its webhooks to `webhook_url`.
        """
        return None
