"""Sync customers with the cards of Cardfile, a system that can only be polled.

A card has a title and items: an e-mail address and a phone number, each with an id of its own. A
write names the items that it changes by their ids, and its answer shows no card. Cardfile numbers
every change of a card; it sends no webhooks.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from zenskar import (
    BaseIntegration,
    Change,
    Changes,
    Connection,
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
)
from zenskar.http import Basic, Client, HttpAnswer, HttpError, classify

ITEMS = {"email": "mail", "phone": "phone"}
"""The kinds of items that hold our fields."""
STALE = {
    "no_such_item": FailureKind.STALE_VERSION,
    "kind_taken": FailureKind.STALE_VERSION,
}
"""Refusals of a write that names the items of an older state: the core fetches the card first."""
EXISTS = "mail_taken"
"""The refusal of a create whose address another card has: the core links that card."""


class CardfileIntegration(BaseIntegration):
    """Syncs the name, the e-mail address and the phone number of customers with cards."""

    plugin_api: ClassVar[int] = 1
    carries: ClassVar[Mapping[str, tuple[str, ...]]] = {"customer": ("name", *ITEMS)}
    match_by: ClassVar[Mapping[str, tuple[str, ...]]] = {"customer": ("email",)}
    poll_every: ClassVar[timedelta | None] = timedelta(seconds=30)
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("api_base", required=True, help="Address of Cardfile's API."),
        Setting("user", required=True, help="User of Cardfile's API."),
        Setting("password", required=True, secret=True, help="Password of the user."),
    )

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        given = connection.settings
        self._cardfile = Client(given["api_base"], Basic(given["user"], given["password"]))

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._cardfile.close()

    async def health(self) -> Health:
        """Return ok when Cardfile lists cards."""
        answer = await self._cardfile.request("GET", "/cards", params={"limit": 1})
        return Health(ok=True, detail="Cardfile answers", answered_at=answer.answered_at)

    async def changes(self, checkpoint: str | None) -> Changes:
        """Return the changes after a number; a forgotten change is lost."""
        answer = await self._cardfile.request("GET", "/changes", params={"after": checkpoint or 0})
        body = answer.body
        return Changes(
            tuple(_event(change, answer) for change in body["changes"]),
            str(body["next"]),
            more=body["more"],
            lost=body["forgotten"],
            answered_at=answer.answered_at,
        )

    def to_canonical(self, seen: ExternalObject) -> Mapping[str, Any]:
        """Return the canonical customer of a card; a card without an item has an empty field."""
        card = seen.data or {}
        texts = {item["kind"]: item["text"] for item in card["items"]}
        fields = {field: texts.get(kind) for field, kind in ITEMS.items()}
        return {"name": card["title"], **fields}

    def from_canonical(self, change: Change) -> Mapping[str, Any]:
        """Return the body of a write, with the ids of the items from the memo."""
        known = (change.memo or {}).get("items", {})
        changed = [
            (kind, change.patch[field]) for field, kind in ITEMS.items() if field in change.patch
        ]
        items = [_item(kind, text, known.get(kind)) for kind, text in changed]
        body: dict[str, Any] = {"items": [item for item in items if item]}
        if "name" in change.patch:
            body["title"] = change.patch["name"]
        if change.kind is IntentKind.CREATE:
            body["label"] = change.record_id
        return body

    async def push(self, push: Push) -> PushResult:
        """Create, update or delete a card; the answer to a create names the new card only."""
        target = ("/cards/{}", push.external_id or "")
        if push.kind is IntentKind.CREATE:
            answer = await self._cardfile.request("POST", "/cards", json=push.body)
        elif push.kind is IntentKind.UPDATE:
            answer = await self._cardfile.request("PATCH", *target, json=push.body)
        else:
            answer = await self._cardfile.request("DELETE", *target)
        created = answer.headers.get("Location", "").rpartition("/")[2]
        return PushResult.unseen(push, created or None, answered_at=answer.answered_at)

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:  # noqa: ARG002
        """Return a card. Cardfile answers 410 for a removed card."""
        answer = await self._cardfile.request("GET", "/cards/{}", external_id)
        return _seen(answer.body, answer)

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:  # noqa: ARG002
        """Return the card whose label is our record's id."""
        return next(iter((await self._cards(label=record_id)).objects), None)

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:  # noqa: ARG002
        """Return 100 cards, oldest first."""
        return await self._cards(limit=100, after=cursor)

    def classify_error(self, error: Exception) -> Failure | None:
        """Classify an error of the client by its code, then by its status."""
        failure = classify(error, STALE, system="Cardfile")
        if failure is None or failure.code != EXISTS:
            return failure or super().classify_error(error)
        return replace(failure, kind=FailureKind.EXISTS, external_id=_existing(error))

    async def _cards(self, **params: Any) -> Page:
        answer = await self._cardfile.request("GET", "/cards", params=params)
        found = tuple(_seen(card, answer) for card in answer.body["cards"])
        return Page(found, answer.body["after"], answer.answered_at)


def _existing(error: Exception) -> str | None:
    """Return the id of the card that a refused create names."""
    answer = error.answer if isinstance(error, HttpError) else None
    card = answer.body.get("card") if answer and isinstance(answer.body, dict) else None
    return card if isinstance(card, str) else None


def _item(kind: str, text: str | None, item_id: int | None) -> dict[str, Any] | None:
    """Return the change of an item, None where there is nothing to remove."""
    if text is None:
        return None if item_id is None else {"id": item_id, "remove": True}
    return {"kind": kind, "text": text} if item_id is None else {"id": item_id, "text": text}


def _event(change: Mapping[str, Any], answer: HttpAnswer) -> WebhookEvent:
    """Return a change, which shows the card as it is now, or its removal."""
    name = f"change:{change['number']}"
    if "removed" in change:
        gone = ExternalObject("customer", change["removed"], None, answered_at=answer.answered_at)
        return WebhookEvent(name, "card.removed", seen=gone)
    return WebhookEvent(name, "card.changed", seen=_seen(change["card"], answer))


def _seen(card: Mapping[str, Any], answer: HttpAnswer) -> ExternalObject:
    return ExternalObject(
        "customer",
        card["id"],
        card,
        record_id=card["label"],
        answered_at=answer.answered_at,
        changed_at=Interval.of_iso(card["changed_at"]),
        memo={"items": {item["kind"]: item["id"] for item in card["items"]}},
    )
