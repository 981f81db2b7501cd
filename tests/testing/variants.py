"""A system with a feed, versions, memos and origins, and a sound integration with it."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

from aiohttp import web

from plugins.template.tests import test_conformance as kit
from tests.e2e.crm_variants import JournalCrm, NamingIntegration, PolledIntegration
from zenskar import Changes, ExternalObject, IntentKind, Page, Push, PushResult
from zenskar.http.lookalike import Record


class StatefulCrm(JournalCrm):
    """Counts the states of a contact, refuses updates of another state, and keeps origins."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.origins: dict[str, str | None] = {}
        self._key: str | None = None

    def routes(self) -> Iterable[web.RouteDef]:
        return (*super().routes(), web.get("/origins", self._origins))

    def tell(self, kind: str, contact: Record) -> None:
        self.origins[f"change_{len(self.journal) + 1}"] = self._key
        super().tell(kind, contact)

    async def call(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self._key = request.headers.get("Idempotency-Key")
        return await super().call(request, handler)

    def forget(self) -> None:
        """Forget all past changes."""
        self.kept_after = len(self.journal)

    async def _update(self, request: web.Request) -> web.Response:
        contact = self.contacts.get(request.match_info["id"], {})
        expected = request.headers.get("If-Match")
        if expected is not None and contact and expected != str(contact["revision"]):
            return web.json_response({"error": "another_revision"}, status=412)
        return await super()._update(request)

    async def _origins(self, request: web.Request) -> web.Response:
        return web.json_response(self.origins)

    def _merged(self, contact_id: str, fields: Mapping[str, Any]) -> Record:
        revision = self.contacts[contact_id].get("revision", 0) + 1
        return super()._merged(contact_id, {**fields, "revision": revision})


class StatefulIntegration(PolledIntegration):
    """Offers everything that an integration can offer."""

    fetch_many_limit: ClassVar[int] = 5

    async def push(self, push: Push) -> PushResult:
        if push.kind is IntentKind.DELETE:
            return await super().push(push)
        creates = push.kind is IntentKind.CREATE
        answer = await self._crm.request(
            "POST" if creates else "PATCH",
            "/contacts" if creates else "/contacts/{}",
            *(() if creates else (push.external_id or "",)),
            json=push.body,
            headers={"Idempotency-Key": push.idempotency_key, **self.condition(push)},
        )
        contact, second = answer.body, answer.answered_at
        seen = ExternalObject("customer", contact["id"], contact, contact["external_ref"], second)
        return PushResult(with_state(seen))

    def condition(self, push: Push) -> Mapping[str, str]:
        return {"If-Match": push.if_version} if push.if_version else {}

    async def fetch(self, entity_type: str, external_id: str) -> ExternalObject:
        return with_state(await super().fetch(entity_type, external_id))

    async def fetch_many(
        self, entity_type: str, external_ids: Sequence[str]
    ) -> Sequence[ExternalObject]:
        seen = await NamingIntegration.fetch_many(self, entity_type, external_ids)  # type: ignore[arg-type]
        return [with_state(each) for each in seen]

    async def find(self, entity_type: str, record_id: str) -> ExternalObject | None:
        found = await super().find(entity_type, record_id)
        return found and with_state(found)

    async def changes(self, checkpoint: str | None) -> Changes:
        part = await super().changes(checkpoint)
        origins = (await self._crm.request("GET", "/origins")).body
        events = [replace(each, origin_key=origins[each.id or ""]) for each in part.events]
        return replace(part, events=tuple(events))

    async def list_page(self, entity_type: str, cursor: str | None) -> Page:
        page = await super().list_page(entity_type, cursor)
        return replace(page, objects=tuple(map(with_state, page.objects)))


def with_state(seen: ExternalObject) -> ExternalObject:
    """Return an object with its version and its memo."""
    data = seen.data
    if data is None:
        return seen
    memo = {"letters": len(data["full_name"] or "")}
    return replace(seen, version=str(data["revision"]), memo=memo)


class StatefulCase(kit.TestConformance):
    """The checks of the sound integration."""

    crm: StatefulCrm
    integration = StatefulIntegration
    webhooks = ()
    settings = kit.SETTINGS

    @asynccontextmanager
    async def external_system(self) -> AsyncIterator[Mapping[str, str]]:
        async with StatefulCrm(secret=kit.SECRET) as self.crm:
            yield self.crm.settings

    async def lose_changes(self) -> None:
        self.crm.forget()
