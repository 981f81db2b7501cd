"""`/keys` over HTTP."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.http.test_auth import bearer, with_scope
from tests.support.api import Api, body_of, open_api, problem_of
from zenskar.model.scope import Scope

CI = {"name": "ci", "scope": "write"}
ONCE = {"Idempotency-Key": "key-1"}


async def create(api: Api, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    answer = await api.client.post("/keys", json={**CI, **body}, headers=headers)
    return await body_of(answer, 201)


async def stored(api: Api) -> str:
    """Return all that the database holds of keys and of actions on them."""
    tables = ("api_keys", "operator_actions", "idempotency_keys")
    return str([await api.flow.rows(f"SELECT * FROM {table}") for table in tables])


async def test_a_key_is_created_used_and_revoked(
    database_url: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="zenskar")
    async with open_api(database_url, auth="required") as api:
        admin = bearer(await with_scope(api, Scope.ADMIN))
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        made = await create(api, admin | {"X-Reason": "a pipeline"}, expires_at=until)
        key = made.pop("key")
        assert (made["name"], made["scope"], made["own"]) == ("ci", "write", False)
        assert datetime.fromisoformat(made["expires_at"]) == datetime.fromisoformat(until)
        shown = await api.client.get(f"/keys/{made['prefix']}", headers=admin)
        assert await body_of(shown, 200) == made
        used = await api.client.get("/customers", headers=bearer(key))
        assert used.status == 200
        listed = (await body_of(await api.client.get("/keys", headers=admin), 200))["data"]
        assert [(each["name"], each["own"]) for each in listed] == [("admin", True), ("ci", False)]
        assert listed[1]["last_used_at"]
        path, why = f"/keys/{made['prefix']}/revoke", {"X-Reason": "it leaked"}
        revoked = await body_of(await api.client.post(path, headers=admin | why), 200)
        assert revoked["revoked_at"]
        await problem_of(await api.client.post(path, headers=admin), 404)
        last, first = (await body_of(await api.client.get("/audit", headers=admin), 200))["data"]
        assert (first["action"], first["reason"]) == ("create_key", "a pipeline")
        assert (last["action"], last["reason"]) == ("revoke_key", "it leaked")
        assert first["request"] | {"expires_at": ""} == {**CI, "expires_at": ""}
        for each in (first, last):
            assert (each["target"], each["place"]) == (made["prefix"], "127.0.0.1")
            assert each["by"] == f"API key {listed[0]['id']}"
        lines = [record.getMessage() + str(record.__dict__) for record in caplog.records]
        logged = "".join([*lines, *capsys.readouterr()])
        assert "/keys" in logged
        for place in (str(shown), str(listed), str(first), str(last), logged, await stored(api)):
            assert key.split("_")[2] not in place


async def test_the_key_of_a_request_is_revoked_only_on_demand(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        key = await with_scope(api, Scope.ADMIN)
        path = f"/keys/{key.split('_')[1]}/revoke"
        refused = await problem_of(await api.client.post(path, headers=bearer(key)), 409)
        assert "the key of your request" in refused["detail"]
        assert await api.flow.scalar("SELECT revoked_at FROM api_keys") is None
        assert await api.flow.scalar("SELECT count(*) FROM operator_actions") == 0
        done = await api.client.post(f"{path}?own=true", headers=bearer(key))
        assert (await body_of(done, 200))["own"]
        assert await api.flow.scalar("SELECT count(*) FROM operator_actions") == 1


async def test_a_repeat_creates_no_second_key_and_shows_none(api: Api) -> None:
    made = await create(api, ONCE)
    secret = made.pop("key")
    repeat = await api.client.post("/keys", json=dict(reversed(CI.items())), headers=ONCE)
    assert await body_of(repeat, 201) == made
    assert repeat.headers["Idempotent-Replayed"] == "true"
    assert repeat.headers["Location"] == f"/keys/{made['prefix']}"
    assert secret.split("_")[2] not in await stored(api)
    other = await api.client.post("/keys", json={**CI, "scope": "read"}, headers=ONCE)
    await problem_of(other, 422)
    assert await api.flow.scalar("SELECT count(*) FROM api_keys") == 1


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"name": "two\nlines"}, 400),
        ({"name": " "}, 400),
        ({"name": "x" * 201}, 422),
        ({"scope": "root"}, 422),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"expires_at": "90d"}, 422),
        ({"key": "zsk_chosen"}, 422),
    ],
)
async def test_a_wrong_request_creates_no_key(api: Api, wrong: dict[str, Any], status: int) -> None:
    await problem_of(await api.client.post("/keys", json=CI | wrong, headers=ONCE), status)
    assert await api.flow.scalar("SELECT count(*) FROM api_keys") == 0
    await create(api, ONCE)


async def test_a_key_in_place_of_a_prefix_is_not_repeated(api: Api) -> None:
    key = (await create(api))["key"]
    for wrong in (key, "unknown1", "%00"):
        for answer in (
            await api.client.get(f"/keys/{wrong}"),
            await api.client.post(f"/keys/{wrong}/revoke"),
        ):
            assert wrong not in str(await problem_of(answer, 404))
