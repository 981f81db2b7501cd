"""A look-alike of Cardfile, in memory.

`python -m tests.cardfile` runs it until Ctrl-C.
"""

import asyncio
import itertools
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from zenskar.http.lookalike import LookAlike, Objects

PAGE = 10
"""The most changes of one answer."""


class Refused(Exception):
    """A write that Cardfile refuses, with its code."""


class Cardfile(LookAlike):
    """Serves cards to the user with the password, and numbers every change.

    `add`, `edit` and `remove` change cards as a person does; an item is named by its kind. Changes
    up to `forgotten` are no longer listed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.user, self.password = "zenskar", "cardfile_password"
        self.cards = Objects("k_")
        self.changed: list[str] = []
        self.forgotten = 0
        self._items = itertools.count(1)

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a connection to this Cardfile."""
        return {"api_base": self.base_url, "user": self.user, "password": self.password}

    def routes(self) -> Iterable[web.RouteDef]:
        one = "/cards/{id}"
        return (
            web.get("/changes", self._changes),
            web.get("/cards", self._list),
            web.post("/cards", self._create),
            web.get(one, self._read),
            web.patch(one, self._update),
            web.delete(one, self._delete),
        )

    def refuse(self, request: web.Request) -> web.Response | None:
        wanted = b64encode(f"{self.user}:{self.password}".encode()).decode()
        if request.headers.get("Authorization") == f"Basic {wanted}":
            return None
        return web.json_response({"code": "unauthorized"}, status=401)

    def add(self, title: str, **items: str) -> str:
        new = [{"kind": kind, "text": text} for kind, text in items.items()]
        return self._made({"title": title, "items": new})

    def edit(self, card_id: str, title: str | None = None, **items: str | None) -> None:
        """Change a card; a kind of item with None is removed."""
        known = {item["kind"]: item["id"] for item in self.cards[card_id]["items"]}
        own = [_own(kind, text, known.get(kind)) for kind, text in items.items()]
        self._change(card_id, {"items": own} | ({} if title is None else {"title": title}))

    def remove(self, card_id: str) -> None:
        self.cards.remove(card_id)
        self.changed.append(card_id)

    def forget(self) -> None:
        """Forget every past change."""
        self.forgotten = len(self.changed)

    def item(self, card_id: str, kind: str) -> Any:
        """Return the text of an item, None without one."""
        items = self.cards[card_id]["items"]
        return next((item["text"] for item in items if item["kind"] == kind), None)

    async def _changes(self, request: web.Request) -> web.Response:
        after = int(request.query["after"])
        first = max(after, self.forgotten)
        page = self.changed[first : first + PAGE]
        last = first + len(page)
        return web.json_response(
            {
                "changes": [self._shown(n, each) for n, each in enumerate(page, first + 1)],
                "next": last,
                "more": last < len(self.changed),
                "forgotten": after < self.forgotten,
            }
        )

    def _shown(self, change: int, card_id: str) -> dict[str, Any]:
        card = self.cards.get(card_id)
        return {"number": change, **({"card": card} if card else {"removed": card_id})}

    async def _list(self, request: web.Request) -> web.Response:
        limit, label = int(request.query.get("limit", "100")), request.query.get("label")
        page = self.cards.page(
            limit, request.query.get("after"), lambda card: label in {None, card["label"]}
        )
        return web.json_response({"cards": page.objects, "after": page.next_cursor})

    async def _create(self, request: web.Request) -> web.Response:
        fields = await request.json()
        if fields["label"] in {each["label"] for each in self.cards.values()}:
            return web.json_response({"code": "label_taken"}, status=409)
        mails = {i["text"].lower() for i in fields["items"] if i["kind"] == "mail"}
        for card_id in self.cards:
            if str(self.item(card_id, "mail")).lower() in mails:
                return web.json_response({"code": "mail_taken", "card": card_id}, status=409)
        location = f"/cards/{self._made(fields)}"
        return web.Response(status=201, headers={"Location": location})

    async def _read(self, request: web.Request) -> web.Response:
        return self._missing(request) or web.json_response(self.cards[request.match_info["id"]])

    async def _update(self, request: web.Request) -> web.Response:
        if missing := self._missing(request):
            return missing
        try:
            self._change(request.match_info["id"], await request.json())
        except Refused as refused:
            return web.json_response({"code": str(refused)}, status=409)
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        if missing := self._missing(request):
            return missing
        self.remove(request.match_info["id"])
        return web.Response(status=204)

    def _missing(self, request: web.Request) -> web.Response | None:
        card_id = request.match_info["id"]
        if card_id in self.cards:
            return None
        status = 410 if card_id in self.cards.gone else 404
        return web.json_response({"code": "no_such_card"}, status=status)

    def _made(self, fields: Mapping[str, Any]) -> str:
        card_id = str(self.cards.add({"label": None, "title": None, "items": []})["id"])
        self._change(card_id, fields)
        return card_id

    def _change(self, card_id: str, fields: Mapping[str, Any]) -> None:
        """Replace the named members, and the named items. Raises `Refused` and changes nothing."""
        items = {item["id"]: item for item in self.cards[card_id]["items"]}
        for change in fields.get("items", ()):
            self._change_item(items, change)
        moment = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds")
        own = {name: fields[name] for name in ("title", "label") if name in fields}
        self.cards.change(card_id, {**own, "items": list(items.values()), "changed_at": moment})
        self.changed.append(card_id)

    def _change_item(self, items: dict[int, dict[str, Any]], change: Mapping[str, Any]) -> None:
        item_id = change.get("id")
        if item_id is None:
            if change["kind"] in {item["kind"] for item in items.values()}:
                raise Refused("kind_taken")
            item_id = next(self._items)
            items[item_id] = {"id": item_id, **change}
        elif item_id not in items:
            raise Refused("no_such_item")
        elif change.get("remove"):
            del items[item_id]
        else:
            items[item_id] = {**items[item_id], "text": change["text"]}


def _own(kind: str, text: str | None, item_id: int | None) -> dict[str, Any]:
    if text is None:
        return {"id": item_id, "remove": True}
    return {"kind": kind, "text": text} if item_id is None else {"id": item_id, "text": text}


async def run() -> None:
    """Run a Cardfile, and print the settings of a connection to it."""
    async with Cardfile() as cardfile:
        for name, value in cardfile.settings.items():
            print(f"CARDFILE_{name.upper()}={value}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run())
