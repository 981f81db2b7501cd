"""API keys over HTTP, and how wrong ones are throttled."""

import pytest
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.api import ADA, Api, event, open_api, problem_of
from zenskar.api.auth import KeyRing, Throttle
from zenskar.db import api_keys
from zenskar.db.engine import in_transaction

PUBLIC = ("/health/live", "/health/ready", "/openapi.json", "/docs", "/metrics", "/console")
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
    ring = KeyRing(engine, Throttle(clock=clock), clock=clock)
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
    ring = KeyRing(engine, Throttle())
    key = await new_key(engine)
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify(f"Bearer {spoil(key)}", "1.2.3.4")
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify(key, "1.2.3.4")
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify(f"Basic {key}", "1.2.3.4")


async def test_guessing_is_throttled_and_a_known_key_is_not(engine: AsyncEngine) -> None:
    clock = Clock()
    ring = KeyRing(engine, Throttle(failures=3, window_seconds=60, clock=clock), clock=clock)
    known, other = await new_key(engine), await new_key(engine)
    await ring.identify(f"Bearer {known}", "1.2.3.4")
    for _ in range(3):
        with pytest.raises(web.HTTPUnauthorized):
            await ring.identify("Bearer guess", "1.2.3.4")
    with pytest.raises(web.HTTPTooManyRequests) as refused:
        await ring.identify(f"Bearer {other}", "1.2.3.4")
    assert int(refused.value.headers["Retry-After"]) == 61
    assert await ring.identify(f"Bearer {other}", "5.6.7.8")
    clock.now += 30
    assert await ring.identify(f"Bearer {known}", "1.2.3.4")
    clock.now += 31
    with pytest.raises(web.HTTPUnauthorized):
        await ring.identify("Bearer guess", "1.2.3.4")


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
    throttle = Throttle(failures=1)
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
