"""The class that an integration extends."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from zenskar.errors import Failure, FailureKind
from zenskar.model.integration import (
    Change,
    Connection,
    ExternalObject,
    Health,
    Page,
    Push,
    PushResult,
    SandboxInfo,
    Setting,
    WebhookEvent,
    WebhookRequest,
)

PLUGIN_API_VERSION = 1


class BaseIntegration:
    """Speaks for one kind of external system; one object for each connection.

    Must be implemented: `verify_webhook`, `parse_webhook`, `to_canonical`, `from_canonical`,
    `push`, `fetch`, `find`, `list_page`. JSON Schemas are files in the `schemas` folder beside
    the module: `webhook_event.schema.json` and `<entity>.schema.json`.
    """

    plugin_api: ClassVar[int] = PLUGIN_API_VERSION
    entities: ClassVar[tuple[str, ...]] = ("customer",)
    carries: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """By entity type the top-level fields that the external system holds; all of them by default.

    The others are neither compared nor pushed.
    """
    settings: ClassVar[tuple[Setting, ...]] = ()
    webhook_headers: ClassVar[tuple[str, ...]] = ()
    """Without one of these headers no webhook is genuine, and its body need not be read."""
    idempotency_key_lifetime: ClassVar[timedelta | None] = None
    """How long a repeated create with one key is safe; None: it never is, look it up."""
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)
    """How far the clocks within the external system may be apart, and from ours if none is told."""

    request_lifetime: ClassVar[timedelta] = timedelta(minutes=5)
    """How long after it was sent a request without an answer may still take effect."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def open(self) -> None:
        """Build clients; nothing by default."""

    async def close(self) -> None:
        """Release what `open` built; nothing by default."""

    async def health(self) -> Health:
        """Say that all is well unless the integration knows better."""
        return Health(ok=True, detail="not checked")

    async def account(self) -> str | None:
        """Name no account by default, so that none is compared."""
        return None

    def verify_webhook(self, request: WebhookRequest) -> None:
        """Raise `BadSignature` unless the external system sent exactly these bytes just now."""
        raise NotImplementedError

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Turn a verified webhook into events."""
        raise NotImplementedError

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical document of an external object.

        A field that is left out was not seen and keeps what it was; null means empty.
        """
        raise NotImplementedError

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the body of the push for a change."""
        raise NotImplementedError

    async def push(self, push: Push) -> PushResult:
        """Make one call."""
        raise NotImplementedError

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
        """Read one object."""
        raise NotImplementedError

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:
        """Find the object that carries this record's id."""
        raise NotImplementedError

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:
        """Return one page of all objects."""
        raise NotImplementedError

    async def missed_events(self, since: datetime, cursor: str | None) -> Page:  # noqa: ARG002
        """Return objects whose events may have been missed; none by default."""
        return Page(())

    def classify_error(self, error: Exception) -> Failure | None:
        """Sort the errors that every transport has: a connection that broke after sending."""
        if isinstance(error, (TimeoutError, ConnectionError)):
            return Failure(FailureKind.UNKNOWN_OUTCOME, f"{type(error).__name__} during the call")
        return None

    @classmethod
    def sandbox(
        cls,
        data_dir: Path,  # noqa: ARG003
        webhook_url: str,  # noqa: ARG003
    ) -> AbstractAsyncContextManager[SandboxInfo] | None:
        """Return a local stand-in for the external system for `zenskar dev`, None without one.

        It keeps its data in `data_dir` and sends its webhooks to `webhook_url`.
        """
        return None
