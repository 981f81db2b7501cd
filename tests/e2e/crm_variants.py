"""Two variants of the CRM: its webhooks only name contacts, or it can only be polled."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from aiohttp import web

from plugins.template.tests.crm import Crm
from zenskar import (
    BaseIntegration,
    Changes,
    ExternalObject,
    ObjectRef,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.http.lookalike import Record
from zenskar_template import TemplateIntegration


class JournalCrm(Crm):
    """Numbers every change, returns many contacts at once, and shows no contact in a webhook.

    The journal keeps the changes after `kept_after`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.journal: list[tuple[int, str]] = []
        self.kept_after = 0

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the routes of the journal too."""
        journal = web.get("/changes", self._changes), web.get("/batch", self._batch)
        return (*super().routes(), *journal)

    def edit_many(self, names: Mapping[str, Sequence[str]]) -> None:
        """Rename contacts several times in a row."""
        for contact_id, values in names.items():
            for value in values:
                self.edit(contact_id, full_name=value)

    def tell(self, kind: str, contact: Record) -> None:
        """Send an event that names the contact alone."""
        self.journal.append((len(self.journal) + 1, contact["id"]))
        super().tell(kind, {"id": contact["id"]})

    async def _batch(self, request: web.Request) -> web.Response:
        known = (self.contacts.get(each) for each in request.query["ids"].split(","))
        return web.json_response({"contacts": [contact for contact in known if contact]})

    async def _changes(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        later = [entry for entry in self.journal if entry[0] > max(after, self.kept_after)]
        page = [
            {"number": number, "id": contact_id, "contact": self.contacts.get(contact_id)}
            for number, contact_id in later[:2]
        ]
        position = page[-1]["number"] if page else max(after, self.kept_after)
        more, lost = len(later) > len(page), after < self.kept_after
        answer = {"changes": page, "position": position, "more": more, "lost": lost}
        return web.json_response(answer)


class NamingIntegration(TemplateIntegration):
    """The CRM with webhooks that only name their contact."""

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Return the event, for a worker to fetch the contact."""
        touched = ObjectRef("customer", body["contact"]["id"])
        return [WebhookEvent(body["id"], body["type"], touched=touched)]

    async def fetch_many(
        self, entity_type: str, external_ids: Sequence[str]
    ) -> Sequence[ExternalObject]:
        """Return the living contacts of a batch."""
        answer = await self._crm.request("GET", "/batch", params={"ids": ",".join(external_ids)})
        return [_seen(entity_type, contact) for contact in answer.body["contacts"]]


class PolledIntegration(TemplateIntegration):
    """The CRM without webhooks."""

    poll_every: ClassVar[timedelta | None] = timedelta(seconds=0.05)
    webhook_headers: ClassVar[tuple[str, ...]] = ()
    verify_webhook = BaseIntegration.verify_webhook
    parse_webhook = BaseIntegration.parse_webhook

    async def changes(self, checkpoint: str | None) -> Changes:
        """Return the next entries of the journal; the contacts are as they are now."""
        after = int(checkpoint or 0)
        answer = await self._crm.request("GET", "/changes", params={"after": after})
        body = answer.body
        events = tuple(_change(entry) for entry in body["changes"])
        return Changes(events, str(body["position"]), more=body["more"], lost=body["lost"])


def _change(entry: Mapping[str, Any]) -> WebhookEvent:
    """Show a living contact. A missing contact is fetched, which proves its delete."""
    name, contact = f"change_{entry['number']}", entry["contact"]
    if contact is None:
        return WebhookEvent(name, "changed", touched=ObjectRef("customer", entry["id"]))
    return WebhookEvent(name, "changed", seen=_seen("customer", contact))


def _seen(entity_type: str, contact: Mapping[str, Any]) -> ExternalObject:
    return ExternalObject(entity_type, contact["id"], contact, contact["external_ref"])
