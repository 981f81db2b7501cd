"""The imaginary CRM, in memory.

`python -m tests.crm WEBHOOK_URL` runs it until Ctrl-C.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Self

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

Contact = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SentWebhook:
    """A webhook as it was sent; `status` is None when nobody took it."""

    headers: dict[str, str]
    body: bytes
    status: int | None = None


class Crm:
    """Serves the contacts to callers with the key, and sends every change to `webhook_url`.

    `add`, `edit` and `remove` change contacts as a person would; they return once the webhook
    has been delivered. `settle` waits for the webhooks of changes that came through the API.
    While `lose_answers` is positive, a call is carried out but its answer is lost.
    """

    def __init__(
        self,
        *,
        api_key: str = "crm_key",
        secret: str = "crm_secret",
        webhook_url: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.api_key, self.secret, self.webhook_url = api_key, secret, webhook_url
        self.contacts: dict[str, Contact] = {}
        self.gone: set[str] = set()
        self.sent: list[SentWebhook] = []
        self.calls: list[str] = []
        self.lose_answers = 0
        self._clock = clock
        self._numbers = itertools.count(1)
        self._deliveries: set[asyncio.Task[None]] = set()
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/contacts", self._list),
                web.post("/contacts", self._create),
                web.get("/contacts/{id}", self._read),
                web.patch("/contacts/{id}", self._update),
                web.delete("/contacts/{id}", self._delete),
            ]
        )
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.settle()
        await self._session.close()
        await self._server.close()

    @property
    def base_url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings of a connection to this CRM."""
        secrets = {"api_key": self.api_key, "webhook_secret": self.secret}
        return {"api_base": self.base_url, **secrets}

    async def add(self, **fields: Any) -> str:
        contact = self._made(fields)
        await self._deliver("contact.created", contact)
        return str(contact["id"])

    async def edit(self, contact_id: str, **fields: Any) -> None:
        await self._deliver("contact.updated", self._changed(contact_id, fields))

    async def remove(self, contact_id: str) -> None:
        await self._deliver("contact.deleted", self._removed(contact_id))

    async def settle(self) -> None:
        while self._deliveries:
            await asyncio.gather(*self._deliveries)

    def signed(self, event: Any) -> SentWebhook:
        """A webhook with a genuine signature."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        headers = sign(self.secret, body, int(self._clock()))
        return SentWebhook({"Content-Type": "application/json", **headers}, body)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path}")
        if request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return web.json_response({"error": "unauthorized"}, status=401)
        response: web.StreamResponse = await handler(request)
        if self.lose_answers > 0 and request.transport is not None:
            self.lose_answers -= 1
            request.transport.close()
        response.headers["Date"] = formatdate(int(self._clock()), usegmt=True)
        return response

    async def _list(self, request: web.Request) -> web.Response:
        limit, cursor = int(request.query.get("limit", "100")), request.query.get("cursor")
        wanted = request.query.get("external_ref")
        found = [each for each in self.contacts.values() if self._after(each, cursor)]
        if wanted is not None:
            found = [each for each in found if each["external_ref"] == wanted]
        more = found[limit - 1]["id"] if len(found) > limit else None
        return web.json_response({"contacts": found[:limit], "next_cursor": more})

    async def _create(self, request: web.Request) -> web.Response:
        fields = await request.json()
        reference = fields.get("external_ref")
        taken = {each["external_ref"] for each in self.contacts.values()}
        if reference is not None and reference in taken:
            return web.json_response({"error": "external_ref_taken"}, status=409)
        contact = self._made(fields)
        self._tell("contact.created", contact)
        return web.json_response(contact, status=201)

    async def _read(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["id"]
        return self._missing(contact_id) or web.json_response(self.contacts[contact_id])

    async def _update(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["id"]
        if missing := self._missing(contact_id):
            return missing
        contact = self._changed(contact_id, await request.json())
        self._tell("contact.updated", contact)
        return web.json_response(contact)

    async def _delete(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["id"]
        if missing := self._missing(contact_id):
            return missing
        contact = self._removed(contact_id)
        self._tell("contact.deleted", contact)
        return web.json_response(contact)

    def _missing(self, contact_id: str) -> web.Response | None:
        if contact_id in self.contacts:
            return None
        status = 410 if contact_id in self.gone else 404
        return web.json_response({"error": "no such contact"}, status=status)

    def _after(self, contact: Contact, cursor: str | None) -> bool:
        return cursor is None or int(contact["id"][2:]) > int(cursor[2:])

    def _made(self, fields: Contact) -> Contact:
        blank = dict.fromkeys(("full_name", "email", "phone", "address", "external_ref"))
        contact_id = f"c_{next(self._numbers)}"
        self.contacts[contact_id] = {"id": contact_id, **blank, "attributes": {}}
        return self._changed(contact_id, fields)

    def _changed(self, contact_id: str, fields: Contact) -> Contact:
        contact = self.contacts[contact_id]
        merged = {**contact["attributes"], **(fields.get("attributes") or {})}
        attributes = {key: value for key, value in merged.items() if value is not None}
        self.contacts[contact_id] = {**contact, **fields, "attributes": attributes}
        return self.contacts[contact_id]

    def _removed(self, contact_id: str) -> Contact:
        self.gone.add(contact_id)
        return self.contacts.pop(contact_id)

    def _tell(self, kind: str, contact: Contact) -> None:
        task = asyncio.create_task(self._deliver(kind, contact))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, kind: str, contact: Contact) -> None:
        at = int(self._clock() * 1000)
        event = {"id": f"e_{next(self._numbers)}", "type": kind, "at": at, "contact": contact}
        webhook = self.signed(event)
        status = await self._post(webhook)
        self.sent.append(SentWebhook(webhook.headers, webhook.body, status))

    async def _post(self, webhook: SentWebhook) -> int | None:
        if self.webhook_url is None:
            return None
        try:
            async with self._session.post(
                self.webhook_url, data=webhook.body, headers=webhook.headers
            ) as response:
                return response.status
        except aiohttp.ClientError:
            return None


def sign(secret: str, body: bytes, at: int) -> dict[str, str]:
    """Return the headers of a genuine webhook that is sent at a Unix second."""
    signed = f"{at}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {"X-Timestamp": str(at), "X-Signature": f"sha256={digest}"}


async def run(webhook_url: str | None = None) -> None:
    """Run a CRM, and print the settings of a connection to it."""
    async with Crm(webhook_url=webhook_url) as crm:
        for name, value in crm.settings.items():
            print(f"TEMPLATE_{name.upper()}={value}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:2]))
