"""A look-alike of Doorbell, in memory.

`python -m tests.doorbell WEBHOOK_URL` runs it until Ctrl-C.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from zenskar.http.lookalike import LookAlike, Objects, Record

API_KEY, SECRET = "doorbell_key", "doorbell_secret"
BLANK = dict.fromkeys(("display_name", "mail", "phone", "home", "reference"))


class Doorbell(LookAlike):
    """Serves people to callers with the key, and rings after every change.

    `add`, `edit`, `remove` and `forget` change people as a user of Doorbell does.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.api_key = API_KEY
        self.people = Objects("p_")
        self.forgotten: set[str] = set()
        self._numbers = itertools.count(1)

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a connection to this Doorbell."""
        return {"api_base": self.base_url, "api_key": self.api_key, "webhook_secret": SECRET}

    def send_webhooks_to(self, url: str) -> None:
        self.add_webhook_endpoint(url, SECRET)

    def routes(self) -> Iterable[web.RouteDef]:
        one = "/people/{id}"
        return (
            web.get("/people", self._list),
            web.post("/people", self._create),
            web.get(one, self._read),
            web.patch(one, self._update),
            web.delete(one, self._delete),
        )

    def refuse(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {self.api_key}":
            return None
        return web.json_response({"code": "unauthorized"}, status=401)

    def encode(self, event: Record) -> bytes:
        """Return a webhook with one ring: no id, no time, no state."""
        return json.dumps({"rings": [{"about": event["type"], "id": event["person"]}]}).encode()

    def sign(self, body: bytes, at: int, secret: str, url: str = "") -> Mapping[str, str]:
        signed = url.encode() + b"\n" + body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return {"X-Doorbell-Signature": digest}

    def add(self, **fields: Any) -> str:
        person_id = str(self.people.add({**BLANK, "tags": {}})["id"])
        self.edit(person_id, **fields)
        return person_id

    def edit(self, person_id: str, **fields: Any) -> None:
        """Change a person; a tag that is null is removed."""
        tags = {**self.people[person_id]["tags"], **(fields.get("tags") or {})}
        kept = {key: value for key, value in tags.items() if value is not None}
        revision = f"r{next(self._numbers)}"
        self.people.change(person_id, {**fields, "tags": kept, "revision": revision})
        self._ring(person_id)

    def remove(self, person_id: str) -> None:
        self.people.remove(person_id)
        self._ring(person_id)

    def forget(self, person_id: str) -> None:
        """Remove a person and everything that was known, so that the id alone is left."""
        self.forgotten.add(person_id)
        self.remove(person_id)

    def _ring(self, person_id: str) -> None:
        self.emit({"id": f"ring_{next(self._numbers)}", "type": "person", "person": person_id})

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        ids = query["ids"].split(",") if "ids" in query else None

        def wanted(person: Record) -> bool:
            known = ids is None or person["id"] in ids
            return known and query.get("reference") in {None, person["reference"]}

        page = self.people.page(int(query.get("limit", "100")), query.get("after"), wanted)
        left = [_trace(each) for each in ids or () if each in self.forgotten]
        return web.json_response({"people": [*page.objects, *left], "after": page.next_cursor})

    async def _create(self, request: web.Request) -> web.Response:
        fields = await request.json()
        if fields.get("reference") in {each["reference"] for each in self.people.values()} - {None}:
            return web.json_response({"code": "reference_taken"}, status=409)
        return web.json_response(self.people[self.add(**fields)], status=201)

    async def _read(self, request: web.Request) -> web.Response:
        person_id = request.match_info["id"]
        if person_id in self.forgotten:
            return web.json_response(_trace(person_id))
        return self._refusal(request) or web.json_response(self.people[person_id])

    async def _update(self, request: web.Request) -> web.Response:
        fields, person_id = await request.json(), request.match_info["id"]
        if refusal := self._refusal(request):
            return refusal
        self.edit(person_id, **fields)
        return web.json_response(self.people[person_id])

    async def _delete(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        self.remove(request.match_info["id"])
        return web.Response(status=204)

    def _refusal(self, request: web.Request) -> web.Response | None:
        person_id, wanted = request.match_info["id"], request.headers.get("If-Match")
        if person_id not in self.people:
            status = 410 if person_id in self.people.gone else 404
            return web.json_response({"code": "no_such_person"}, status=status)
        if wanted not in {None, self.people[person_id]["revision"]}:
            return web.json_response({"code": "another_revision"}, status=412)
        return None


def _trace(person_id: str) -> dict[str, Any]:
    return {"id": person_id, "forgotten": True}


async def run(webhook_url: str | None = None) -> None:
    """Run a Doorbell, and print the settings of a connection to it."""
    async with Doorbell() as doorbell:
        if webhook_url is not None:
            doorbell.send_webhooks_to(webhook_url)
        for name, value in doorbell.settings.items():
            print(f"DOORBELL_{name.upper()}={value}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:2]))
