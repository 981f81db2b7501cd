"""A complete integration on one page, with an imaginary CRM.

Copy the package, rename it, and replace the constants and the hooks. docs/plugins.md explains each
hook; tests/test_integration.py runs this integration against a local CRM.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

import aiohttp

from zenskar import (
    BaseIntegration,
    Change,
    ExternalObject,
    Failure,
    FailureKind,
    Health,
    IntentKind,
    Interval,
    Page,
    Push,
    PushResult,
    Setting,
    WebhookEvent,
    WebhookRequest,
    http_date,
)
from zenskar.webhooks import split_secrets, verify_age, verify_hmac

TYPES = ("contact.created", "contact.updated", "contact.deleted")
TEXTS = {"name": "full_name", "email": "email", "phone": "phone"}
ADDRESS = {
    "line1": "street",
    "line2": "street2",
    "city": "city",
    "state": "region",
    "postal_code": "zip",
    "country": "country",
}
KINDS = {
    401: FailureKind.CREDENTIALS,
    403: FailureKind.CREDENTIALS,
    # An earlier create of this record took effect, so the core must find the contact.
    409: FailureKind.UNKNOWN_OUTCOME,
    # The CRM answers 410 for a deleted contact; 404 means that our key does not show the contact.
    404: FailureKind.NOT_VISIBLE,
    410: FailureKind.GONE,
    429: FailureKind.RATE_LIMITED,
}


class Answer(NamedTuple):
    """An answer of the CRM, and the second of its clock from the `Date` header."""

    body: Any
    at: int | None


class TemplateIntegration(BaseIntegration):
    """Syncs customers with the contacts of the CRM.

    The CRM supports no idempotency keys, so `idempotency_key_lifetime` stays None. Instead, the
    unique `external_ref` of a contact holds the id of our record.
    """

    webhook_headers: ClassVar[tuple[str, ...]] = ("x-timestamp", "x-signature")
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("api_base", required=True, help="Address of the CRM's API."),
        Setting("api_key", required=True, secret=True, help="Key of the CRM's API."),
        Setting("webhook_secret", required=True, secret=True, help="Signs the CRM's webhooks."),
    )
    _session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Build the HTTP client."""
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self.connection.settings['api_key']}"},
            timeout=aiohttp.ClientTimeout(total=30),
            raise_for_status=True,
        )

    async def close(self) -> None:
        """Close the HTTP client."""
        if self._session is not None:
            await self._session.close()

    async def health(self) -> Health:
        """Return ok when the CRM returns a contact."""
        answer = await self._call("GET", params={"limit": "1"})
        return Health(ok=True, detail="the CRM answers", answered_at=answer.at)

    def verify_webhook(self, request: WebhookRequest) -> None:
        """Check `X-Signature` over `X-Timestamp` and the raw body, at most five minutes old."""
        timestamp = request.headers.get("x-timestamp", "")
        secrets = split_secrets(self.connection.settings["webhook_secret"])
        given = request.headers.get("x-signature")
        verify_hmac(secrets, timestamp, ".", request.body, given=given, prefix="sha256=")
        verify_age(timestamp, request.received_at)

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Return the event of a webhook; the webhook's time is in milliseconds."""
        known = body["type"] in TYPES
        contact = Answer(body.get("contact"), None)
        return [
            WebhookEvent(
                id=body["id"],
                type=body["type"],
                occurred=Interval.of_millis(int(body["at"])),
                seen=_object(contact, deleted=body["type"] == TYPES[-1]) if known else None,
                ignored=None if known else "unknown_type",
                sent_at=int(request.headers["x-timestamp"]),
            )
        ]

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical customer of a contact."""
        contact = seen.data or {}
        address = contact.get("address") or {}
        return {
            **{ours: contact.get(theirs) for ours, theirs in TEXTS.items()},
            "address": {ours: address.get(theirs) for ours, theirs in ADDRESS.items()},
            "metadata": contact.get("attributes") or {},
        }

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the body of a POST or PATCH for a change; null unsets a field in both."""
        patch = change.patch
        body = {theirs: patch[ours] for ours, theirs in TEXTS.items() if ours in patch}
        if "address" in patch:
            address = patch["address"]
            body["address"] = address and {ADDRESS[ours]: address[ours] for ours in address}
        if "metadata" in patch:
            body["attributes"] = patch["metadata"]
        if change.kind is IntentKind.CREATE:
            body["external_ref"] = change.record_id
        return body

    async def push(self, push: Push) -> PushResult:
        """Create, update or delete a contact."""
        if push.kind is IntentKind.CREATE:
            return PushResult(_object(await self._call("POST", json=push.body)))
        if push.external_id is None:
            raise ValueError(f"a push of kind {push.kind} needs an external id")
        if push.kind is IntentKind.UPDATE:
            return PushResult(_object(await self._call("PATCH", push.external_id, json=push.body)))
        return PushResult(_object(await self._call("DELETE", push.external_id), deleted=True))

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
        """Return a contact, with `data` None when the CRM answers 410."""
        try:
            return _object(await self._call("GET", external_id))
        except aiohttp.ClientResponseError as error:
            if error.status != 410:
                raise
            return ExternalObject(entity_type, external_id, None)

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:  # noqa: ARG002
        """Return the contact whose `external_ref` is our record's id."""
        found = await self._call("GET", params={"external_ref": record_id})
        return next(_objects(found), None)

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # noqa: ARG002
        """Return 100 contacts, oldest first."""
        params = {"limit": "100", **({"cursor": cursor} if cursor else {})}
        found = await self._call("GET", params=params)
        return Page(tuple(_objects(found)), found.body["next_cursor"])

    def classify_error(self, error: Exception) -> Failure | None:
        """Classify an error by its status; without a JSON answer the call may have taken effect."""
        if isinstance(error, aiohttp.ClientResponseError):
            other = FailureKind.REJECTED if 400 <= error.status < 500 else None
            kind = KINDS.get(error.status) or other or FailureKind.UNKNOWN_OUTCOME
            return Failure(kind, f"the CRM answered {error.status}")
        if isinstance(error, (aiohttp.ClientError, json.JSONDecodeError, UnicodeDecodeError)):
            return Failure(FailureKind.UNKNOWN_OUTCOME, f"{type(error).__name__} during the call")
        return super().classify_error(error)

    async def _call(self, method: str, external_id: str = "", **options: Any) -> Answer:
        if self._session is None:
            raise RuntimeError("the integration is not open")
        base = str(self.connection.settings["api_base"]).rstrip("/")
        url = f"{base}/contacts/{quote(external_id, safe='')}".rstrip("/")
        async with self._session.request(method, url, allow_redirects=False, **options) as response:
            return Answer(await response.json(), http_date(response.headers.get("Date")))


def _object(answer: Answer, *, deleted: bool = False) -> ExternalObject:
    contact, at = answer
    data = None if deleted else contact
    return ExternalObject("customer", contact["id"], data, contact.get("external_ref"), at)


def _objects(answer: Answer) -> Iterator[ExternalObject]:
    return (_object(Answer(contact, answer.at)) for contact in answer.body["contacts"])
