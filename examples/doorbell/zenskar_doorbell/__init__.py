"""Sync customers with the people of Doorbell, a system that rings and shows nothing.

A webhook of Doorbell names the people that changed, without ids, times and states. The signature
covers the address too, as Doorbell knows the address. Every state of a person has a revision,
and a write may name the revision that it expects. A forgotten person leaves nothing but an id.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from zenskar import (
    BadSignature,
    BaseIntegration,
    Change,
    Connection,
    ExternalObject,
    Failure,
    Health,
    IntentKind,
    ObjectRef,
    Page,
    Push,
    PushResult,
    Setting,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.fields import Field, FieldMap, Group, Keys, RecordId
from zenskar.http import Bearer, Client, HttpAnswer, classify
from zenskar.webhooks import split_secrets, verify_hmac

HOME = {
    "line1": "street",
    "line2": "street2",
    "city": "town",
    "state": "region",
    "postal_code": "postcode",
    "country": "country",
}
FIELDS = FieldMap(
    Field("name", "display_name"),
    Field("email", "mail"),
    Field("phone"),
    Group("address", HOME, at="home"),
    Keys("metadata", "tags"),
    RecordId("reference"),
)


class DoorbellIntegration(BaseIntegration):
    """Syncs customers with the people of Doorbell."""

    plugin_api: ClassVar[int] = 1
    webhook_headers: ClassVar[tuple[str, ...]] = ("x-doorbell-signature",)
    fetch_many_limit: ClassVar[int] = 50
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("api_base", required=True, help="Address of Doorbell's API."),
        Setting("api_key", required=True, secret=True, help="Key of Doorbell's API."),
        Setting("webhook_secret", required=True, secret=True, help="Signs the webhooks."),
        Setting(
            "webhook_certificate",
            help="The certificate of Doorbell, as the proxy passes it. Without this setting, the "
            "signature alone proves the sender.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        given = connection.settings
        self._secrets = split_secrets(given["webhook_secret"])
        self._certificate = given.get("webhook_certificate")
        self._doorbell = Client(given["api_base"], Bearer(given["api_key"]))

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._doorbell.close()

    async def health(self) -> Health:
        """Return ok when Doorbell lists people."""
        answer = await self._doorbell.request("GET", "/people", params={"limit": 1})
        return Health(ok=True, detail="Doorbell answers", answered_at=answer.answered_at)

    def verify_webhook(self, request: WebhookRequest) -> None:
        """Check the sender; a repeated webhook costs a fetch and has no effect."""
        if self._certificate and request.certificate != self._certificate:
            raise BadSignature("the sender has another certificate than Doorbell")
        given = request.headers.get("x-doorbell-signature")
        verify_hmac(self._secrets, request.url, "\n", request.body, given=given)

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:  # noqa: ARG002
        """Return an event for each ring, which names its person."""
        return [_event(ring["about"], ring["id"]) for ring in body["rings"]]

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical customer of a person."""
        return FIELDS.to_canonical(seen.data)

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the body of a POST or PATCH for a change."""
        return FIELDS.from_canonical(change)

    async def push(self, push: Push) -> PushResult:
        """Create, update or delete a person, unless the person has another revision."""
        if push.kind is IntentKind.CREATE:
            answer = await self._doorbell.request("POST", "/people", json=push.body)
            return PushResult(_seen(answer.body, answer))
        headers = {"If-Match": push.if_version} if push.if_version else {}
        target = ("/people/{}", push.external_id or "")
        if push.kind is IntentKind.DELETE:
            answer = await self._doorbell.request("DELETE", *target, headers=headers)
            return PushResult.unseen(push, answered_at=answer.answered_at)
        answer = await self._doorbell.request("PATCH", *target, json=push.body, headers=headers)
        return PushResult(_seen(answer.body, answer))

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:  # noqa: ARG002
        """Return a person. Doorbell answers 410 for a deleted person who is not forgotten."""
        answer = await self._doorbell.request("GET", "/people/{}", external_id)
        return _seen(answer.body, answer)

    async def fetch_many(
        self,
        entity_type: str,  # noqa: ARG002
        external_ids: Sequence[str],
    ) -> Sequence[ExternalObject]:
        """Return the people with these ids who live or are forgotten."""
        return (await self._people(ids=",".join(external_ids))).objects

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:  # noqa: ARG002
        """Return the person whose `reference` is our record's id."""
        return next(iter((await self._people(reference=record_id)).objects), None)

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # noqa: ARG002
        """Return 100 people, oldest first."""
        return await self._people(limit=100, after=cursor)

    def classify_error(self, error: Exception) -> Failure | None:
        """Classify an error of the client by its status: 412 is a stale version."""
        return classify(error, system="Doorbell") or super().classify_error(error)

    async def _people(self, **params: Any) -> Page:
        answer = await self._doorbell.request("GET", "/people", params=params)
        found = tuple(_seen(person, answer) for person in answer.body["people"])
        return Page(found, answer.body["after"], answer.answered_at)


def _event(about: str, person_id: str) -> WebhookEvent:
    if about != "person":
        return WebhookEvent(None, f"{about}.changed", ignored="unknown_type")
    return WebhookEvent(None, "person.changed", touched=ObjectRef("customer", person_id))


def _seen(person: Mapping[str, Any], answer: HttpAnswer) -> ExternalObject:
    if person.get("forgotten"):
        return ExternalObject(
            "customer", person["id"], None, answered_at=answer.answered_at, purged=True
        )
    return ExternalObject(
        "customer",
        person["id"],
        person,
        record_id=FIELDS.record_id(person),
        answered_at=answer.answered_at,
        version=person["revision"],
    )
