"""The integration class."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from zenskar import (
    BaseIntegration,
    Change,
    Changes,
    Connection,
    ExternalObject,
    Failure,
    Health,
    IntentKind,
    Page,
    Push,
    PushResult,
    SandboxInfo,
    Setting,
)
from zenskar.http import BadAnswer, HttpAnswer, HttpError
from zenskar_salesforce import contacts, failures, feed, lookup
from zenskar_salesforce.client import ROWS, Part, SalesforceApi, checked
from zenskar_salesforce.config import SETTINGS, Config
from zenskar_salesforce.record_ids import long_id

_READ = f"?fields={','.join(contacts.COLUMNS)}"


class SalesforceIntegration(BaseIntegration):
    """Syncs customers with the contacts of a Salesforce org.

    Salesforce has no idempotency keys. A unique field holds the id of our record, so a second
    create is refused, and the first one is found.
    """

    carries: ClassVar[Mapping[str, tuple[str, ...]]] = {contacts.ENTITY: contacts.FIELDS.names}
    settings: ClassVar[tuple[Setting, ...]] = SETTINGS
    sandbox_on_request: ClassVar[bool] = True
    poll_every: ClassVar[timedelta | None] = timedelta(minutes=1)

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        config = Config.of(connection)
        self._api = SalesforceApi(config)
        self._create_headers = (
            {"Sforce-Duplicate-Rule-Header": "allowSave=true"} if config.allow_duplicates else {}
        )

    async def close(self) -> None:
        """Close the HTTP clients."""
        await self._api.close()

    async def health(self) -> Health:
        """Return ok when every field can be read."""
        rows = await self._api.query(f"{lookup.SELECT} LIMIT 1")
        return Health(ok=True, detail="Salesforce answers", answered_at=rows.answered_at)

    async def account(self) -> str | None:
        """Return the id of the org that the credentials open."""
        await self._api.limits()
        return self._api.org_id

    async def changes(self, checkpoint: str | None) -> Changes:
        """Return changed and deleted contacts."""
        return await feed.changes(self._api, checkpoint)

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical document of a contact."""
        return contacts.to_canonical(seen.data or {})

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the fields of the call that makes the change."""
        return contacts.from_canonical(change)

    async def push(self, push: Push) -> PushResult:
        """Create, update or delete a contact in one call; the answer shows the contact."""
        if push.kind is IntentKind.CREATE:
            write = Part("write", "POST", ROWS, push.body, self._create_headers)
            return await self._write(push, write, "@{write.id}")
        if push.external_id is None:
            raise ValueError(f"a push of kind {push.kind} needs an external id")
        if push.kind is IntentKind.UPDATE:
            return await self._update(push, push.external_id)
        answer = await self._api.delete(push.external_id)
        return PushResult.unseen(push, answered_at=answer.answered_at)

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:  # noqa: ARG002
        """Return a contact, without data when it lies in the recycle bin."""
        return await lookup.fetch(self._api, external_id)

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:  # noqa: ARG002
        """Return the contact that carries this record's id."""
        return await lookup.find(self._api, record_id)

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # noqa: ARG002
        """Return a page of contacts, by rising ids."""
        return await lookup.list_page(self._api, cursor)

    def classify_error(self, error: Exception) -> Failure | None:
        """Classify the errors of Salesforce and of the network."""
        return failures.classify(error) or super().classify_error(error)

    @classmethod
    def sandbox(
        cls,
        data_dir: Path,
        webhook_url: str,  # noqa: ARG003 - the sandbox is polled
    ) -> AbstractAsyncContextManager[SandboxInfo] | None:
        """Return a local Salesforce that keeps its contacts and its credentials in `data_dir`."""
        from zenskar_salesforce.local import run_sandbox

        return run_sandbox(data_dir)

    async def _update(self, push: Push, external_id: str) -> PushResult:
        headers = contacts.condition(push.if_version) if push.if_version else {}
        reference = quote(external_id, safe="")
        write = Part("write", "PATCH", f"{ROWS}/{reference}", push.body, headers)
        try:
            return await self._write(push, write, reference)
        except HttpError as error:
            if error.code == failures.DELETED:
                # A merge deletes a contact too, and that is no delete of the customer.
                await lookup.fetch(self._api, external_id)
            raise

    async def _write(self, push: Push, write: Part, reference: str) -> PushResult:
        """Write and read a contact in one call.

        A write that succeeded counts, also when the contact is not visible to us any more.
        """
        read = Part("read", "GET", f"{ROWS}/{reference}{_READ}")
        written, shown = await self._api.composite(write, read)
        checked(write, written)
        if shown.status == 200 and isinstance(shown.body, dict):
            return PushResult(contacts.seen(shown.body, shown.answered_at))
        external_id = push.external_id or _new_id(written)
        return PushResult.unseen(push, external_id, answered_at=written.answered_at)


def _new_id(written: HttpAnswer) -> str:
    """Return the id in the answer of a create. Raises `BadAnswer` for an answer without one."""
    body = written.body if isinstance(written.body, dict) else {}
    identifier = long_id(str(body.get("id")))
    if identifier is None:
        raise BadAnswer("POST", written, problem="no id")
    return identifier
