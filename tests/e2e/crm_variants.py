"""Variants of the CRM: thin webhooks, no webhooks, bulk calls, or contacts that merge."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from aiohttp import web

from plugins.template.tests.crm import Crm
from zenskar import (
    BaseIntegration,
    CallFailed,
    CallLimit,
    Changes,
    ExternalObject,
    Failure,
    FailureKind,
    Interval,
    ObjectRef,
    Push,
    PushResult,
    Usage,
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


class BulkCrm(Crm):
    """Takes many changes in one call, and then shows the number of calls of all applications.

    `hangs` at a bulk call never answers it, before or after its effect; `arrived` is then set.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.bulks: list[int] = []
        self.others = 0
        self.hangs: str | None = None
        self.arrived, self._stopped = asyncio.Event(), asyncio.Event()

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the route of bulk calls too."""
        return (*super().routes(), web.post("/bulk", self._bulk))

    async def __aexit__(self, *error: object) -> None:
        self._stopped.set()
        await super().__aexit__(*error)

    async def _bulk(self, request: web.Request) -> web.Response:
        lines = (await request.json())["lines"]
        await self._hang("before")
        self.bulks.append(len(lines))
        answer = web.json_response({"lines": [self._line(**line) for line in lines]})
        answer.headers["Api-Usage"] = str(self.others + len(list(self.requests)))
        await self._hang("after")
        return answer

    async def _hang(self, when: str) -> None:
        if self.hangs == when:
            self.arrived.set()
            await self._stopped.wait()
            raise web.HTTPServiceUnavailable

    def _line(self, kind: str, contact_id: str | None, fields: Record) -> dict[str, Any]:
        if contact_id is None:
            taken = {each["external_ref"] for each in self.contacts.values()}
            if fields["external_ref"] in taken:
                return {"status": 409}
            return {"status": 201, "contact": self.contacts[self.add(**fields)]}
        if missing := self._missing(contact_id):
            return {"status": missing.status}
        contact = self.contacts[contact_id]
        if kind == "delete":
            self.remove(contact_id)
            return {"status": 200, "contact": contact}
        self.edit(contact_id, **fields)
        return {"status": 200, "contact": self.contacts[contact_id]}


class BulkIntegration(TemplateIntegration):
    """The CRM with many changes in one call, and a budget of calls."""

    push_many_limit: ClassVar[int] = 50
    call_limits: ClassVar[tuple[CallLimit, ...]] = (CallLimit(calls=1000, seconds=86_400),)
    _used: tuple[Usage, ...] = ()

    async def push_many(self, pushes: Sequence[Push]) -> Sequence[PushResult | Exception]:
        """Send a line for each push."""
        lines = [
            {"kind": push.kind, "contact_id": push.external_id, "fields": push.body}
            for push in pushes
        ]
        answer = await self._crm.request("POST", "/bulk", json={"lines": lines})
        self._used = (Usage(int(answer.headers["Api-Usage"])),)
        results = zip(pushes, answer.body["lines"], strict=True)
        return [_pushed(push, line) for push, line in results]

    def usage(self) -> Sequence[Usage]:
        """Return the calls of the last bulk answer."""
        return self._used


_LINES = {
    404: FailureKind.NOT_VISIBLE,
    409: FailureKind.UNKNOWN_OUTCOME,
    410: FailureKind.GONE,
}


def _pushed(push: Push, line: Mapping[str, Any]) -> PushResult | Exception:
    if kind := _LINES.get(line["status"]):
        return CallFailed(Failure(kind, f"the CRM answered {line['status']}"))
    seen = _seen(push.entity_type, line["contact"])
    return PushResult(replace(seen, data=None) if push.kind == "delete" else seen)


class MergingCrm(Crm):
    """Redirects calls for a merged contact to the contact that remains. May be `silent`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.merged: dict[str, str] = {}
        self.silent = False

    def merge(self, contact_id: str, into: str) -> None:
        """Merge a contact into another one, as a person would."""
        self.merged[contact_id] = into
        self.contacts.remove(contact_id)
        self.tell("contact.merged", {"id": contact_id, "into": into})

    def tell(self, kind: str, contact: Record) -> None:
        """Send an event, unless the CRM is silent."""
        if not self.silent:
            super().tell(kind, contact)

    async def _read(self, request: web.Request) -> web.Response:
        return await super()._read(self._redirected(request))

    async def _update(self, request: web.Request) -> web.Response:
        return await super()._update(self._redirected(request))

    def _redirected(self, request: web.Request) -> web.Request:
        contact_id = request.match_info["id"]
        request.match_info["id"] = self.merged.get(contact_id, contact_id)
        return request


class MergingIntegration(TemplateIntegration):
    """The CRM with contacts that people merge."""

    def parse_webhook(self, request: WebhookRequest, body: Any) -> Sequence[WebhookEvent]:
        """Return a merge as such."""
        if body["type"] != "contact.merged":
            return super().parse_webhook(request, body)
        contact = body["contact"]
        merged = ExternalObject("customer", contact["id"], None, merged_into=contact["into"])
        occurred = Interval.of_millis(body["at"])
        return [WebhookEvent(body["id"], body["type"], occurred, seen=merged)]

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
        """Return a contact that was redirected as merged."""
        seen = await super().fetch(entity_type, external_id)
        if seen.external_id == external_id:
            return seen
        return ExternalObject(entity_type, external_id, None, merged_into=seen.external_id)


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
