"""A look-alike of a few lines: calls, faults, webhooks, pages, control surface, restart."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from zenskar.http import BadAnswer, Client, Header, HttpError, NoAnswer
from zenskar.http.lookalike import (
    DeliveryRetries,
    EditRefused,
    Fault,
    FaultKind,
    LookAlike,
    Mode,
    Objects,
    SignedWebhook,
    kept_secrets,
    running_at,
)
from zenskar.webhooks import verify_hmac

KEY, SECRET = "key", "secret"


class Shop(LookAlike):
    """People, who are created by calls and edited by a person."""

    def __init__(self, **options: Any) -> None:
        super().__init__(webhook_retries=DeliveryRetries(base=0.01, attempts=3), **options)
        self.people = Objects("p_")

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/people", self._create), web.get("/people/{id}", self._read)]

    def refuse(self, request: web.Request) -> web.Response | None:
        right = request.headers.get("X-Key") == KEY
        return None if right else web.json_response({"error": "unauthorized"}, status=401)

    def edits(self) -> Any:
        return [
            ("POST", "people", lambda _, values: self.add(values)),
            ("POST", "people/{id}", self.people.change),
            ("DELETE", "people/{id}", self._forbid),
        ]

    def clear_objects(self) -> None:
        self.people.clear()

    def add(self, values: Any) -> Any:
        person = self.people.add(values)
        self.emit({"id": f"e_{person['id']}", "type": "person.created", "person": person})
        return person

    async def _create(self, request: web.Request) -> web.Response:
        return web.json_response(self.add(await request.json()))

    async def _read(self, request: web.Request) -> web.Response:
        return web.json_response(self.people[request.match_info["id"]])

    def _forbid(self, identifier: str, values: Any) -> Any:
        raise EditRefused(409, {"error": identifier})


class Receiver:
    """An endpoint of webhooks with these answers, 200 after the last."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[SignedWebhook] = []
        app = web.Application()
        app.router.add_post("/", self._receive)
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def _receive(self, request: web.Request) -> web.Response:
        self.received.append(SignedWebhook(dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as running:
        yield running


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    made = Client(shop.base_url, Header("X-Key", KEY))
    yield made
    await made.close()


async def create(client: Client) -> Any:
    return await client.request("POST", "/people", json={"name": "Ada"})


async def test_a_call_is_answered_and_logged(shop: Shop, client: Client) -> None:
    shop.shift_clock(-3600)
    answer = await create(client)
    assert answer.body == {"id": "p_1", "name": "Ada"}
    assert answer.answered_at == pytest.approx(shop.clock(), abs=5)
    with pytest.raises(HttpError):
        await client.request("GET", "/nowhere")
    logged = [(call.method, call.path, call.status) for call in shop.requests]
    assert logged == [("POST", "/people", 200), ("GET", "/nowhere", 404)]


async def test_a_caller_without_the_key_is_refused_before_any_fault(shop: Shop) -> None:
    shop.faults.add(Fault(kind=FaultKind.RATE_LIMITED))
    async with aiohttp.ClientSession() as session, session.get(f"{shop.base_url}/people/1") as it:
        assert it.status == 401
    assert shop.faults.shown()[0]["hits"] == 0


FAULTS: list[tuple[dict[str, Any], type[HttpError], int | None, int]] = [
    ({"kind": FaultKind.RATE_LIMITED, "retry_after": 7}, HttpError, 429, 0),
    ({"kind": FaultKind.REFUSE, "status": 423, "code": "locked"}, HttpError, 423, 0),
    ({"kind": FaultKind.REFUSE, "status": 420}, HttpError, 420, 0),
    ({"kind": FaultKind.SERVER_ERROR}, HttpError, 500, 0),
    ({"kind": FaultKind.SERVER_ERROR, "effect": True}, HttpError, 500, 1),
    ({"kind": FaultKind.DROP_ANSWER}, NoAnswer, None, 1),
    ({"kind": FaultKind.DROP_REQUEST}, NoAnswer, None, 0),
    ({"kind": FaultKind.ZOMBIE, "delay_seconds": 0.01}, NoAnswer, None, 1),
    ({"kind": FaultKind.TRUNCATE, "mode": Mode.CUT}, NoAnswer, 200, 1),
    ({"kind": FaultKind.TRUNCATE, "mode": Mode.BROKEN_JSON}, BadAnswer, 200, 1),
    ({"kind": FaultKind.TRUNCATE, "mode": Mode.HTML}, BadAnswer, 200, 1),
]


@pytest.mark.parametrize(("options", "error", "status", "effects"), FAULTS)
async def test_a_fault_hits_one_call(
    shop: Shop, client: Client, options: Any, error: type[HttpError], status: int, effects: int
) -> None:
    shop.faults.add(Fault(**options))
    with pytest.raises(error) as raised:
        await create(client)
    await shop.settle()
    assert (len(shop.people), next(iter(shop.requests)).status) == (effects, status)
    assert raised.value.retry_after == options.get("retry_after")
    assert (await create(client)).status == 200


async def test_a_delayed_answer_ends_with_the_look_alike() -> None:
    async with Shop() as shop:
        client = Client(shop.base_url, Header("X-Key", KEY))
        shop.faults.add(Fault(kind=FaultKind.DELAY, delay_seconds=3600))
        call = asyncio.create_task(create(client))
        async with asyncio.timeout(10):
            while not shop.people:
                await asyncio.sleep(0.005)
    with pytest.raises(NoAnswer):
        await call
    await client.close()


async def test_webhooks_are_signed_and_retried(shop: Shop) -> None:
    async with Receiver(500) as receiver:
        shop.add_webhook_endpoint(receiver.url, SECRET)
        shop.add({"name": "Ada"})
        await shop.settle()
    first, second = receiver.received
    assert first.body == second.body
    assert json.loads(first.body)["person"] == {"id": "p_1", "name": "Ada"}
    signed = first.headers["X-Timestamp"], ".", first.body
    verify_hmac([SECRET], *signed, given=first.headers["X-Signature"], prefix="sha256=")
    assert [each.status for each in shop.deliveries] == [500, 200]
    (event,) = shop.events
    assert shop.signed(event, SECRET).body == first.body


class Strict(Shop):
    """A shop whose webhooks show the present name, and need an answer of their own."""

    def encode(self, event: Any) -> bytes:
        return str(self.people[event["person"]["id"]]["name"]).encode()

    def acknowledged(self, status: int, answer: str) -> bool:
        return answer == "thanks"


async def test_a_webhook_shows_the_present_state_until_the_right_answer() -> None:
    answers, received = ["ok", "thanks"], list[bytes]()

    async def receive(request: web.Request) -> web.Response:
        received.append(await request.read())
        shop.people.change("p_1", {"name": "Eve"})
        return web.Response(text=answers.pop(0))

    app = web.Application()
    app.router.add_post("/", receive)
    async with Strict() as shop, TestServer(app) as server:
        shop.add_webhook_endpoint(str(server.make_url("/")), SECRET)
        shop.add({"name": "Ada"})
        await shop.settle()
    assert (received, answers) == ([b"Ada", b"Eve"], [])


async def test_a_sandbox_keeps_its_port_while_it_is_free_and_its_secrets(tmp_path: Path) -> None:
    async with Shop() as other:
        taken = other._runner.addresses[0][1]  # type: ignore[union-attr]
        async with running_at(taken, lambda port: Shop(port=port)) as shop:
            assert shop.base_url != other.base_url
    async with running_at(taken, lambda port: Shop(port=port)) as shop:
        assert shop.base_url.endswith(f":{taken}")
    path = tmp_path / "data" / "secrets.json"
    made = kept_secrets(path, {"key": "sk_", "token": ""})
    assert made["key"].startswith("sk_")
    assert path.stat().st_mode & 0o077 == 0
    assert kept_secrets(path, {"key": "sk_", "token": ""}) == made


async def test_one_endpoint_replaces_all_others(shop: Shop) -> None:
    for name in "ab":
        shop.add_webhook_endpoint(f"http://127.0.0.1/{name}", SECRET)
    shop.send_webhooks_only_to("http://127.0.0.1/b", "new")
    assert [(each.url, each.secret) for each in shop.webhook_endpoints()] == [
        ("http://127.0.0.1/b", "new")
    ]


async def test_pages_do_not_shift(shop: Shop) -> None:
    for number in range(5):
        shop.people.add({"number": number})
    first = shop.people.page(2)
    shop.people.remove("p_1")
    shop.people.remove("p_2")
    last = shop.people.page(3, first.next_cursor, lambda each: each["number"] != 3)
    assert [each["id"] for each in (*first.objects, *last.objects)] == ["p_1", "p_2", "p_3", "p_5"]
    assert (last.next_cursor, shop.people.gone) == (None, {"p_1", "p_2"})
    with pytest.raises(KeyError):
        shop.people.page(2, "unknown")


async def test_the_control_surface_edits_and_clears(shop: Shop) -> None:
    async with aiohttp.ClientSession(f"{shop.base_url}/_sandbox/") as session:

        async def ask(method: str, path: str, **body: Any) -> tuple[int, Any]:
            async with session.request(method, path, json=body) as answer:
                return answer.status, await answer.json()

        assert await ask("POST", "people", name="Ada") == (201, {"id": "p_1", "name": "Ada"})
        assert (await ask("POST", "people/p_1", name="Eve"))[1]["name"] == "Eve"
        assert (await ask("POST", "people/p_9", name="Eve"))[0] == 404
        assert await ask("DELETE", "people/p_1") == (409, {"error": "p_1"})
        assert (await ask("POST", "faults", kind="delay", seconds=1))[0] == 400
        assert (await ask("DELETE", "data"))[0] == 200
    assert (dict(shop.people), shop.events) == ({}, [])


async def test_pending_webhooks_survive_a_restart(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        async with Shop(store_path=tmp_path / "shop.db") as shop:
            shop.add_webhook_endpoint(receiver.url, SECRET)
            shop.faults.add(Fault(kind=FaultKind.WEBHOOK_DELAY, delay_seconds=3600))
            shop.add({"name": "Ada"})
        assert receiver.received == []
        async with Shop(store_path=tmp_path / "shop.db") as shop:
            await shop.settle()
            assert len(receiver.received) == len(shop.events) == 1
