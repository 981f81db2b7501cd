"""The integration class."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from zenskar import (
    BaseIntegration,
    CallLimit,
    Change,
    Changes,
    Connection,
    ExternalObject,
    Failure,
    Health,
    Page,
    Push,
    PushResult,
    SandboxInfo,
    Setting,
    Usage,
    WebhookAnswer,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.webhooks import verify_token
from zenskar_salesforce import failures, feed, lookup, outbound_messages
from zenskar_salesforce.client import SalesforceApi
from zenskar_salesforce.config import SETTINGS, Config
from zenskar_salesforce.object_kinds import ENTITY, object_kind
from zenskar_salesforce.pushes import MOST_PUSHES, send

DEVELOPER_CALLS = 15_000
"""The calls of the smallest edition in 24 hours; each answer shows the true number."""


class SalesforceIntegration(BaseIntegration):
    """Syncs customers with the contacts, or the accounts, of a Salesforce org.

    Salesforce has no idempotency keys. A unique field holds the id of our record, so a second
    create is refused, and the first one is found.
    """

    carries: ClassVar[Mapping[str, tuple[str, ...]]] = {ENTITY: object_kind().carries}
    settings: ClassVar[tuple[Setting, ...]] = SETTINGS
    deletes_are_final: ClassVar[bool] = False
    sandbox_on_request: ClassVar[bool] = True
    call_limits: ClassVar[tuple[CallLimit, ...]] = (
        CallLimit(calls=DEVELOPER_CALLS, seconds=86_400),
    )
    push_many_limit: ClassVar[int] = MOST_PUSHES
    fetch_many_limit: ClassVar[int] = lookup.MOST_IDS
    poll_every: ClassVar[timedelta | None] = timedelta(minutes=1)

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        config = Config.of(connection)
        # The setting of the connection decides, so its object has fields of its own.
        self.carries = {ENTITY: config.kind.carries}  # type: ignore[misc]
        self.limits = {ENTITY: config.kind.limits}  # type: ignore[misc]
        self._kind = config.kind
        self._org_id, self._tokens = config.org_id, config.webhook_tokens
        self._api = SalesforceApi(config)
        self._create_headers = (
            {"Sforce-Duplicate-Rule-Header": "allowSave=true"} if config.allow_duplicates else {}
        )

    async def close(self) -> None:
        """Close the HTTP clients."""
        await self._api.close()

    async def health(self) -> Health:
        """Return ok when every field can be read."""
        rows = await self._api.query(f"{self._kind.select} LIMIT 1")
        return Health(ok=True, detail="Salesforce answers", answered_at=rows.answered_at)

    async def account(self) -> str | None:
        """Return the id of the org that the credentials open."""
        await self._api.limits()
        return self._api.org_id

    def verify_webhook(self, request: WebhookRequest) -> None:
        """Raise `BadSignature` unless the address of a message holds our token."""
        verify_token(self._tokens, request.token)

    def read_webhook(self, request: WebhookRequest) -> Any:
        """Return the ids of an Outbound Message."""
        return outbound_messages.read(request.body)

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:  # noqa: ARG002
        """Return an event for each notification of a message."""
        return list(outbound_messages.events(body, self._org_id, self._kind))

    def answer_webhook(
        self,
        request: WebhookRequest,  # noqa: ARG002
        accepted: int,  # noqa: ARG002
        dead: int,  # noqa: ARG002
    ) -> WebhookAnswer:
        """Acknowledge a message as Salesforce demands."""
        return outbound_messages.acknowledgement()

    async def changes(self, checkpoint: str | None) -> Changes:
        """Return changed and deleted records."""
        return await feed.changes(self._api, checkpoint)

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical document of a record."""
        return self._kind.to_canonical(seen.data or {})

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the fields of the call that makes the change."""
        return self._kind.from_canonical(change)

    async def push(self, push: Push) -> PushResult:
        """Create, update or delete a record in one call; the answer shows the record."""
        (result,) = await send(self._api, [push], self._create_headers)
        if isinstance(result, Exception):
            raise result
        return result

    async def push_many(self, pushes: Sequence[Push]) -> Sequence[PushResult | Exception]:
        """Create, update and delete several records in one call."""
        return await send(self._api, pushes, self._create_headers)

    def usage(self) -> Sequence[Usage]:
        """Return the calls of all applications of the org, as the last answer showed them."""
        return self._api.usage

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:  # noqa: ARG002
        """Return a record, without data when it lies in the recycle bin."""
        return await lookup.fetch(self._api, external_id)

    async def fetch_many(
        self,
        entity_type: str,  # noqa: ARG002
        external_ids: Sequence[str],
    ) -> Sequence[ExternalObject]:
        """Return the records that are visible."""
        return await lookup.fetch_many(self._api, external_ids)

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:  # noqa: ARG002
        """Return the record that carries this record's id."""
        return await lookup.find(self._api, record_id)

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # noqa: ARG002
        """Return a page of records, by rising ids."""
        return await lookup.list_page(self._api, cursor)

    def classify_error(self, error: Exception) -> Failure | None:
        """Classify the errors of Salesforce and of the network."""
        return failures.classify(error) or super().classify_error(error)

    @classmethod
    def sandbox(
        cls,
        data_dir: Path,
        webhook_url: str,
    ) -> AbstractAsyncContextManager[SandboxInfo] | None:
        """Return a local Salesforce that keeps its records and its credentials in `data_dir`."""
        from zenskar_salesforce.local import run_sandbox

        return run_sandbox(data_dir, webhook_url)
