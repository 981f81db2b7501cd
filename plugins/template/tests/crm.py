"""The imaginary CRM, in memory.

`python -m tests.crm WEBHOOK_URL` runs it until Ctrl-C.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from zenskar.http.lookalike import LookAlike, Objects, Record, SignedWebhook

BLANK = dict.fromkeys(("full_name", "email", "phone", "address", "external_ref"))


class Crm(LookAlike):
    """Serves the contacts to callers with the key, and sends a webhook for every change.

    `add`, `edit` and `remove` change contacts as a person would. `LookAlike` has the rest:
    `faults`, `add_webhook_endpoint`, `settle`, and the logs `requests` and `deliveries`.
    """

    def __init__(
        self, *, api_key: str = "crm_key", secret: str = "crm_secret", **options: Any
    ) -> None:
        super().__init__(**options)
        self.api_key, self.secret = api_key, secret
        self.contacts = Objects("c_")
        self._numbers = itertools.count(1)

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings of a connection to this CRM."""
        secrets = {"api_key": self.api_key, "webhook_secret": self.secret}
        return {"api_base": self.base_url, **secrets}

    def send_webhooks_to(self, url: str) -> None:
        self.add_webhook_endpoint(url, self.secret)

    def genuine(self, event: Any) -> SignedWebhook:
        """A webhook with a genuine signature."""
        return self.signed(event, self.secret)

    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.get("/contacts", self._list),
            web.post("/contacts", self._create),
            web.get("/contacts/{id}", self._read),
            web.patch("/contacts/{id}", self._update),
            web.delete("/contacts/{id}", self._delete),
        )

    def refuse(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {self.api_key}":
            return None
        return web.json_response({"error": "unauthorized"}, status=401)

    def add(self, **fields: Any) -> str:
        contact = self._merged(self.contacts.add({**BLANK, "attributes": {}})["id"], fields)
        self.tell("contact.created", contact)
        return str(contact["id"])

    def edit(self, contact_id: str, **fields: Any) -> None:
        self.tell("contact.updated", self._merged(contact_id, fields))

    def remove(self, contact_id: str) -> None:
        self.tell("contact.deleted", self.contacts.remove(contact_id))

    def tell(self, kind: str, contact: Record) -> None:
        at = int(self.clock() * 1000)
        number = f"e_{next(self._numbers)}"
        self.emit({"id": number, "type": kind, "at": at, "contact": contact})

    async def _list(self, request: web.Request) -> web.Response:
        limit, wanted = int(request.query.get("limit", "100")), request.query.get("external_ref")
        page = self.contacts.page(
            limit,
            request.query.get("cursor"),
            lambda contact: wanted is None or contact["external_ref"] == wanted,
        )
        return web.json_response({"contacts": page.objects, "next_cursor": page.next_cursor})

    async def _create(self, request: web.Request) -> web.Response:
        fields = await request.json()
        reference = fields.get("external_ref")
        taken = {each["external_ref"] for each in self.contacts.values()}
        if reference is not None and reference in taken:
            return web.json_response({"error": "external_ref_taken"}, status=409)
        return web.json_response(self.contacts[self.add(**fields)], status=201)

    async def _read(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["id"]
        return self._missing(contact_id) or web.json_response(self.contacts[contact_id])

    async def _update(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["id"]
        if missing := self._missing(contact_id):
            return missing
        self.edit(contact_id, **await request.json())
        return web.json_response(self.contacts[contact_id])

    async def _delete(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["id"]
        if missing := self._missing(contact_id):
            return missing
        contact = self.contacts[contact_id]
        self.remove(contact_id)
        return web.json_response(contact)

    def _missing(self, contact_id: str) -> web.Response | None:
        if contact_id in self.contacts:
            return None
        status = 410 if contact_id in self.contacts.gone else 404
        return web.json_response({"error": "no such contact"}, status=status)

    def _merged(self, contact_id: str, fields: Mapping[str, Any]) -> Record:
        """Change a contact; an attribute that is null is removed."""
        attributes = {**self.contacts[contact_id]["attributes"], **(fields.get("attributes") or {})}
        kept = {key: value for key, value in attributes.items() if value is not None}
        return self.contacts.change(contact_id, {**fields, "attributes": kept})


async def run(webhook_url: str | None = None) -> None:
    """Run a CRM, and print the settings of a connection to it."""
    async with Crm() as crm:
        if webhook_url is not None:
            crm.send_webhooks_to(webhook_url)
        for name, value in crm.settings.items():
            print(f"TEMPLATE_{name.upper()}={value}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:2]))
