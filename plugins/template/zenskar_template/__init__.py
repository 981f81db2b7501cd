"""A complete integration on one page, with an imaginary CRM.

Replace the constants and the hooks. The page "Write an integration" of zenskar's documentation
explains each hook; the tests run this integration against a local CRM.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from zenskar import (
    BaseIntegration,
    Change,
    Connection,
    ExternalObject,
    Failure,
    Health,
    IntentKind,
    Interval,
    Page,
    Push,
    PushResult,
    Setting,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.fields import Field, FieldMap, Group, Keys, RecordId
from zenskar.http import Bearer, Client, HttpAnswer, classify
from zenskar.webhooks import split_secrets, verify_age, verify_hmac

TYPES = ("contact.created", "contact.updated", "contact.deleted")
ADDRESS = {
    "line1": "street",
    "line2": "street2",
    "city": "city",
    "state": "region",
    "postal_code": "zip",
    "country": "country",
}
FIELDS = FieldMap(
    Field("name", "full_name"),
    Field("email"),
    Field("phone"),
    Group("address", ADDRESS, at="address"),
    Keys("metadata", "attributes"),
    RecordId("external_ref"),
)


class TemplateIntegration(BaseIntegration):
    """Syncs customers with the contacts of the CRM.

    The CRM supports no idempotency keys, so `idempotency_key_lifetime` stays None. Instead, the
    unique `external_ref` of a contact holds the id of our record.
    """

    plugin_api: ClassVar[int] = 1
    webhook_headers: ClassVar[tuple[str, ...]] = ("x-timestamp", "x-signature")
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("api_base", required=True, help="Address of the CRM's API."),
        Setting("api_key", required=True, secret=True, help="Key of the CRM's API."),
        Setting("webhook_secret", required=True, secret=True, help="Signs the CRM's webhooks."),
    )

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        given = connection.settings
        self._secrets = split_secrets(given["webhook_secret"])
        self._crm = Client(given["api_base"], Bearer(given["api_key"]))

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._crm.close()

    async def health(self) -> Health:
        """Return ok when the CRM returns a contact."""
        answer = await self._crm.request("GET", "/contacts", params={"limit": 1})
        return Health(ok=True, detail="the CRM answers", answered_at=answer.answered_at)

    def verify_webhook(self, request: WebhookRequest) -> None:
        """Check `X-Signature` over `X-Timestamp` and the raw body, at most five minutes old."""
        timestamp = request.headers.get("x-timestamp", "")
        given = request.headers.get("x-signature")
        verify_hmac(self._secrets, timestamp, ".", request.body, given=given, prefix="sha256=")
        verify_age(timestamp, request.received_at)

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Return the event of a webhook; the webhook's time is in milliseconds."""
        kind, known = body["type"], body["type"] in TYPES
        return [
            WebhookEvent(
                id=body["id"],
                type=kind,
                occurred=Interval.of_millis(int(body["at"])),
                seen=_object(body["contact"], deleted=kind == TYPES[-1]) if known else None,
                ignored=None if known else "unknown_type",
                sent_at=int(request.headers["x-timestamp"]),
            )
        ]

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical customer of a contact."""
        return FIELDS.to_canonical(seen.data)

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the body of a POST or PATCH for a change; null unsets a field in both."""
        return FIELDS.from_canonical(change)

    async def push(self, push: Push) -> PushResult:
        """Create, update or delete a contact."""
        if push.kind is IntentKind.CREATE:
            answer = await self._crm.request("POST", "/contacts", json=push.body)
        elif push.external_id is None:
            raise ValueError(f"a push of kind {push.kind} needs an external id")
        elif push.kind is IntentKind.UPDATE:
            path = "/contacts/{}"
            answer = await self._crm.request("PATCH", path, push.external_id, json=push.body)
        else:
            answer = await self._crm.request("DELETE", "/contacts/{}", push.external_id)
        return PushResult(_seen(answer, deleted=push.kind is IntentKind.DELETE))

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:  # noqa: ARG002
        """Return a contact. The CRM answers 410 for a deleted contact, which is proof enough."""
        return _seen(await self._crm.request("GET", "/contacts/{}", external_id))

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:  # noqa: ARG002
        """Return the contact whose `external_ref` is our record's id."""
        params = {"external_ref": record_id}
        return next(_listed(await self._crm.request("GET", "/contacts", params=params)), None)

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # noqa: ARG002
        """Return 100 contacts, oldest first."""
        params = {"limit": 100, "cursor": cursor}
        answer = await self._crm.request("GET", "/contacts", params=params)
        return Page(tuple(_listed(answer)), answer.body["next_cursor"])

    def classify_error(self, error: Exception) -> Failure | None:
        """Classify an error of the client by its status."""
        return classify(error, system="the CRM") or super().classify_error(error)


def _object(
    contact: Mapping[str, Any], answered_at: int | None = None, *, deleted: bool = False
) -> ExternalObject:
    data = None if deleted else contact
    return ExternalObject("customer", contact["id"], data, FIELDS.record_id(contact), answered_at)


def _seen(answer: HttpAnswer, *, deleted: bool = False) -> ExternalObject:
    return _object(answer.body, answer.answered_at, deleted=deleted)


def _listed(answer: HttpAnswer) -> Iterator[ExternalObject]:
    return (_object(contact, answer.answered_at) for contact in answer.body["contacts"])
