"""API keys over HTTP, and how wrong ones are throttled."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy.event
import structlog
from aiohttp import web
from multidict import CIMultiDict
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs
from yarl import URL

from tests.api.test_server import talk
from tests.support.api import ADA, Api, body_of, event, open_api, problem_of
from tests.support.flow import running_worker
from zenskar.api.app import create_app
from zenskar.api.http.auth import ClientKey, KeyRing, LoginThrottle
from zenskar.api.http.routes import ROUTES
from zenskar.db import api_keys
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events import event_log
from zenskar.model.scope import Scope
from zenskar.networks import Hosts, Networks

PUBLIC = ("/health/live", "/health/ready", "/openapi.json", "/docs", "/metrics")
PROTECTED = (
    ("GET", "/customers"), ("POST", "/customers"), ("GET", "/customers/x"),
    ("PUT", "/customers/x"), ("PATCH", "/customers/x"), ("DELETE", "/customers/x"),
    ("GET", "/sync-events"), ("GET", "/sync-events/x"), ("POST", "/sync-events/retry"),
    ("POST", "/sync-events/x/retry"), ("GET", "/connections"),
    ("POST", "/connections/fake/pause"), ("POST", "/connections/fake/resume"),
)  # fmt: skip


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def new_key(engine: AsyncEngine, name: str = "test") -> str:
    return (await in_transaction(engine, lambda c: api_keys.create(c, name)))[1]


async def with_scope(api: Api, scope: Scope) -> str:
    """Make a key of a scope."""
    made = await in_transaction(
        api.services.engine, lambda c: api_keys.create(c, scope.value, scope)
    )
    return made[1]


async def key_ids(api: Api) -> dict[str, str]:
    """Return the ids of the keys by prefix."""
    keys = await in_transaction(api.services.engine, api_keys.read_all)
    return {key.prefix: key.id for key in keys}


async def last_detail(api: Api, event_id: str) -> dict[str, str]:
    """Return the latest detail of an event's history."""
    entries = await in_transaction(api.services.engine, lambda c: event_log.history(c, event_id))
    return entries[-1].detail


@contextmanager
def counted(engine: AsyncEngine) -> Iterator["Statements"]:
    """Yield the statements that are executed meanwhile."""
    made = Statements()
    listener = ("before_cursor_execute", lambda *called: made.append(called[2].strip()))
    sqlalchemy.event.listen(engine.sync_engine, *listener)
    try:
        yield made
    finally:
        sqlalchemy.event.remove(engine.sync_engine, *listener)


class Statements(list[str]):
    """Statements, counted by how they begin."""

    def count(self, beginning: str) -> int:  # type: ignore[override]
        return sum(each.startswith(beginning) for each in self)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_keys_open_what_is_protected(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        key = await new_key(api.services.engine)
        for method, path in PROTECTED:
            refused = await api.client.request(method, path)
            await problem_of(refused, 401)
            assert refused.headers["WWW-Authenticate"] == "Bearer"
            opened = await api.client.request(method, path, headers=bearer(key))
            assert opened.status not in {401, 429}, path
        created = await api.client.post("/customers", json=ADA, headers=bearer(key))
        assert created.status == 201


async def test_what_is_public_needs_no_key(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        for path in PUBLIC:
            assert (await api.client.get(path)).status == 200, path
        assert (await api.webhook(event())).status == 200
        assert (await api.client.get("/nowhere")).status == 404
        assert (await api.client.get("/webhooks/fake")).status == 405


async def test_a_revoked_key_is_refused(engine: AsyncEngine) -> None:
    clock = Clock()
    ring = KeyRing(engine, LoginThrottle(clock=clock), clock=clock)
    key = await new_key(engine)
    assert await ring.identify(f"Bearer {key}", "1.2.3.4")
    assert await in_transaction(engine, lambda c: api_keys.revoke(c, key[4:12]))
    assert await ring.identify(f"Bearer {key}", "1.2.3.4")
    clock.now += 6
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify(f"Bearer {key}", "1.2.3.4")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1],
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key.swapcase(),
        lambda key: key + "x",
        lambda key: "zsk_" + "z" * 8 + "_" + "z" * 43,
        lambda _key: "",
        lambda _key: "' OR 1=1 --",
        lambda key: key.encode().hex(),
    ],
)
async def test_nearly_right_is_wrong(engine: AsyncEngine, spoil) -> None:
    ring = KeyRing(engine, LoginThrottle())
    key = await new_key(engine)
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify(f"Bearer {spoil(key)}", "1.2.3.4")
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify(key, "1.2.3.4")
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify(f"Basic {key}", "1.2.3.4")


async def test_guessing_is_throttled_and_a_known_key_is_not(engine: AsyncEngine) -> None:
    clock = Clock()
    ring = KeyRing(engine, LoginThrottle(failures=3, window_seconds=60, clock=clock), clock=clock)
    known, other = await new_key(engine), await new_key(engine)
    await ring.identify(f"Bearer {known}", "1.2.3.4")
    for _ in range(3):
        with pytest.raises(web.HTTPUnauthorized):
            await ring.identify("Bearer guess", "1.2.3.4")
    with pytest.raises(web.HTTPTooManyRequests) as refused:
        await ring.identify("Bearer guess", "1.2.3.4")
    assert int(refused.value.headers["Retry-After"]) == 61
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify("Bearer guess", "5.6.7.8")
    assert await ring.identify(f"Bearer {other}", "1.2.3.4")
    clock.now += 30
    assert await ring.identify(f"Bearer {known}", "1.2.3.4")
    clock.now += 31
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify("Bearer guess", "1.2.3.4")


async def test_a_right_key_is_admitted_amid_a_flood_of_wrong_ones(engine: AsyncEngine) -> None:
    ring = KeyRing(engine, LoginThrottle(failures=1))
    key = await new_key(engine)
    wrong = [f"Bearer zsk_{number:08d}_{'x' * 43}" for number in range(300)]
    with counted(engine) as made:
        found = await asyncio.gather(
            *(ring.identify(sent, "1.2.3.4") for sent in (*wrong, f"Bearer {key}")),
            return_exceptions=True,
        )
    assert isinstance(found[-1], ClientKey)
    assert all(isinstance(each, web.HTTPException) for each in found[:-1])
    assert made.count("SELECT CAST(id AS text) AS id, prefix") <= 2


async def test_throttled_over_http(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        statuses = [
            (await api.client.get("/customers", headers=bearer("guess"))).status for _ in range(12)
        ]
        assert statuses == [401] * 10 + [429] * 2
        response = await api.client.get("/customers", headers=bearer("guess"))
        await problem_of(response, 429)
        assert int(response.headers["Retry-After"]) > 0
        assert (await api.client.get("/health/live")).status == 200


def test_the_throttle_forgets_the_oldest_address() -> None:
    throttle = LoginThrottle(failures=1)
    for number in range(10_001):
        throttle.fail(str(number))
    assert throttle.wait("0") == 0
    assert throttle.wait("10000") > 0


async def test_keys_of_two_clients_may_use_one_idempotency_key(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        ids = set()
        for name in ("a", "b"):
            headers = bearer(await new_key(api.services.engine, name)) | {"Idempotency-Key": "k"}
            response = await api.client.post("/customers", json=ADA, headers=headers)
            ids.add((await response.json())["id"])
        assert len(ids) == 2


async def test_what_a_key_may_do(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        created = await with_scope(api, Scope.ADMIN)
        made = await body_of(
            await api.client.post("/customers", json=ADA, headers=bearer(created)), 201
        )
        for scope in Scope:
            headers = bearer(await with_scope(api, scope))
            for route in filter(None, create_app(api.services)[ROUTES].values()):
                path = re.sub(r"\{\w+\}", "x", route.path)
                answer = await api.client.request(route.method, path, headers=headers)
                refused = not route.public and not scope.covers(route.scope)
                assert (answer.status == 403) == refused, (scope, route.method, path)
        assert made["version"] == 1


@pytest.mark.parametrize(
    "path", ["/sync-events/{id}?include=payload", "/dead-letters/{id}?reveal=true"]
)
async def test_what_came_in_is_shown_to_admins_and_that_is_noted(
    database_url: str, path: str
) -> None:
    async with open_api(database_url, auth="required") as api:
        await api.webhook(event())
        async with running_worker(api.flow.runtime):
            await api.flow.settle()
        (found,) = await api.flow.events("inbound")
        async with api.services.engine.begin() as db:
            await db.exec_driver_sql("UPDATE sync_event_history SET status = 'dead'")
        path = path.format(id=found["id"])
        for scope in (Scope.READ, Scope.WRITE):
            refused = await api.client.get(path, headers=bearer(await with_scope(api, scope)))
            await problem_of(refused, 403)
        assert "by" not in await last_detail(api, str(found["id"]))
        admin = await with_scope(api, Scope.ADMIN)
        assert "ada@" in str(await body_of(await api.client.get(path, headers=bearer(admin)), 200))
        detail = await last_detail(api, str(found["id"]))
        assert detail["reason"] == "revealed"
        assert detail["by"].startswith("API key ")
        assert detail["from"] == "127.0.0.1"


async def test_the_history_says_whose_key_made_a_change(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        key = await new_key(api.services.engine)
        caller = (await key_ids(api))[key[4:12]]
        created = await body_of(
            await api.client.post("/customers", json=ADA, headers=bearer(key)), 201
        )
        path = f"/customers/{created['id']}"
        await api.client.put(path, json={**ADA, "name": "B"}, headers=bearer(key))
        await api.client.patch(path, json={"name": "C"}, headers=bearer(key))
        await api.client.delete(path, headers=bearer(key))
        async with api.services.engine.connect() as db:
            rows = (
                await db.exec_driver_sql("SELECT detail FROM sync_event_history ORDER BY id")
            ).all()
    details = [json.loads(row.detail) for row in rows]
    assert len(details) == 4
    assert {(d["by"], d["from"]) for d in details} == {(f"API key {caller}", "127.0.0.1")}


async def test_without_a_connection_the_log_says_who_made_a_change(
    database_url: str,
) -> None:
    async with open_api(database_url, auth="required", connections="") as api:
        key = await new_key(api.services.engine)
        with capture_logs() as logs:
            created = await body_of(
                await api.client.post("/customers", json=ADA, headers=bearer(key)), 201
            )
    (entry,) = [log for log in logs if log["event"] == "customer_changed"]
    assert (entry["id"], entry["action"]) == (created["id"], "created")
    assert entry["by"].startswith("API key ")


async def test_requests_are_logged_with_key_and_address(database_url: str) -> None:
    settings = {"auth": "required", "trusted_proxies": Networks("127.0.0.1, 10.0.0.0/8")}
    async with open_api(database_url, **settings) as api:
        key = await new_key(api.services.engine)
        headers = bearer(key) | {"X-Forwarded-For": "6.6.6.6, 9.9.9.9, 10.1.2.3"}
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            await problem_of(await api.client.get("/customers/x", headers=headers), 404)
    (entry,) = [log for log in logs if log["event"] == "request"]
    assert (entry["api_key"], entry["client"]) == (key[4:12], "9.9.9.9")
    assert key not in str(logs)


@pytest.mark.parametrize(
    ("proxies", "sent", "address"),
    [
        (None, ["9.9.9.9"], "127.0.0.1"),
        ("10.0.0.0/8", ["9.9.9.9"], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["9.9.9.9"], "9.9.9.9"),
        ("127.0.0.1", ["6.6.6.6, 9.9.9.9"], "9.9.9.9"),
        ("127.0.0.1", ["6.6.6.6", "9.9.9.9"], "9.9.9.9"),
        ("127.0.0.0/8,10.0.0.0/8", ["6.6.6.6, 9.9.9.9, 10.0.0.1,127.0.0.2"], "9.9.9.9"),
        ("127.0.0.1", ["9.9.9.9:4711"], "9.9.9.9"),
        ("127.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", ["::ffff:9.9.9.9"], "9.9.9.9"),
        ("127.0.0.1", ["9.9.9.9, unknown"], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("0.0.0.0/0", ["9.9.9.9"], "9.9.9.9"),
    ],
)
async def test_who_is_behind_a_proxy(
    database_url: str, proxies: str | None, sent: list[str], address: str
) -> None:
    networks = Networks(proxies) if proxies else None
    async with open_api(database_url, trusted_proxies=networks) as api:
        headers = CIMultiDict([("X-Forwarded-For", line) for line in sent])
        await api.client.post("/customers", json=ADA, headers=headers)
        (found,) = await api.flow.events("outbound")
        assert (await last_detail(api, str(found["id"])))["from"] == address


@pytest.mark.parametrize("path", ["/customers", "/docs", "/metrics", "/nowhere", "/openapi.json"])
async def test_without_keys_other_hosts_are_not_served(api: Api, path: str) -> None:
    port = URL(str(api.client._base_url)).port
    for host in ("evil.example", f"evil.example:{port}", "localhost", f"localhost:{port + 1}", ""):
        await problem_of(await api.client.get(path, headers={"Host": host}), 403)
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert (await api.client.get(path, headers={"Host": host})).status in {200, 404}
    sent = f"GET {path} HTTP/1.0\r\n\r\n".encode()
    assert b" 403 " in await talk(str(api.client._base_url), sent)
    twice = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil\r\n\r\n".encode()
    assert b" 40" in (await talk(str(api.client._base_url), twice + twice))[:15]


async def test_hosts_can_be_allowed_and_with_keys_all_are(database_url: str) -> None:
    async with open_api(database_url, allowed_hosts=Hosts("dev.example")) as api:
        for host, status in (("dev.example", 200), ("DEV.example", 200), ("x.dev.example", 403)):
            answer = await api.client.get("/customers", headers={"Host": host})
            assert answer.status == status
    async with open_api(database_url, auth="required") as api:
        headers = bearer(await new_key(api.services.engine)) | {"Host": "zenskar.example"}
        assert (await api.client.get("/customers", headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_pages_of_other_sites_change_nothing(api: Api, headers: dict[str, str]) -> None:
    await problem_of(await api.client.post("/connections/fake/pause", headers=headers), 403)
    assert await api.flow.scalar("SELECT count(*) FROM connections") == 0


async def test_own_pages_may_change(api: Api) -> None:
    own = {"Origin": str(api.client._base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert (await api.client.post("/connections/fake/pause", headers=own)).status == 200
