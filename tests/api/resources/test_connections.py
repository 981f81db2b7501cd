"""`/connections` over HTTP."""

from tests.support.api import Api, body_of, open_api, problem_of
from zenskar.db import call_limits, connections
from zenskar.db.driver.engine import in_transaction


async def test_list_shows_state_last_error_and_lag(database_url: str) -> None:
    async with open_api(database_url, "one", "two") as api:
        await api.create()
        await in_transaction(
            api.services.engine, lambda c: connections.note_error(c, "two", "transient", "timeout")
        )
        listed = await body_of(await api.client.get("/connections"), 200)
    one, two = listed["data"]
    assert one.pop("lag").items() >= {"waiting": 1, "dead": 0}.items()
    assert one == {
        "name": "one",
        "entities": ["customer"],
        "state": "active",
        "reason": None,
        "pause_note": None,
        "account": None,
        "paused_at": None,
        "held_until": None,
        "polled_at": None,
        "call_limits": [],
        "last_error": None,
    }
    assert two["last_error"] | {"kind": "transient", "message": "timeout"} == two["last_error"]


async def test_list_shows_the_calls_of_each_limit(database_url: str) -> None:
    async with open_api(database_url) as api:
        limits = [("", 86_400.0, 100), ("search", 1.0, 4)]
        engine = api.services.engine
        await in_transaction(engine, lambda c: call_limits.lock(c, "fake", limits))
        await in_transaction(engine, lambda c: call_limits.hold(c, "fake", "search", 600.0))
        (view,) = (await body_of(await api.client.get("/connections"), 200))["data"]
        all_calls, search = view["call_limits"]
        assert all_calls == {
            "name": "",
            "seconds": 86_400.0,
            "calls": 100,
            "used": 0,
            "held_until": None,
        }
        assert (search["name"], search["held_until"] is None) == ("search", False)
        resumed = await body_of(await api.client.post("/connections/fake/resume"), 200)
        assert resumed["call_limits"] == []


async def test_pause_and_resume(api: Api) -> None:
    for reason in ("an incident", "again"):
        headers = {"X-Reason": reason}
        answer = await api.client.post("/connections/fake/pause", headers=headers)
        paused = await body_of(answer, 200)
        assert paused["pause_note"] == "an incident"
        assert (paused["state"], paused["reason"]) == ("paused", "paused by an operator")
        assert paused["paused_at"]
    listed = await body_of(await api.client.get("/connections"), 200)
    assert listed["data"][0]["state"] == "paused"
    for _ in range(2):
        resumed = await body_of(await api.client.post("/connections/fake/resume"), 200)
        assert (resumed["state"], resumed["reason"]) == ("active", None)


async def test_unknown_connections_are_404(api: Api) -> None:
    for action in ("pause", "resume"):
        await problem_of(await api.client.post(f"/connections/other/{action}"), 404)
    assert await api.flow.scalar("SELECT count(*) FROM connections") == 0


async def test_a_delete_guard_is_closed_after_a_release(api: Api) -> None:
    path = "/connections/fake/close-guard"
    await problem_of(await api.client.post(path), 409)
    await problem_of(await api.client.post("/connections/none/close-guard"), 404)
    async with api.flow.runtime.engine.begin() as db:
        await db.exec_driver_sql(
            "INSERT INTO connections (name, deletes_allowed_through) VALUES ('fake', now())"
        )
    closed = await body_of(await api.client.post(path, headers={"X-Reason": "INC-7"}), 200)
    assert closed["name"] == "fake"
    (entry,) = (await body_of(await api.client.get("/audit"), 200))["data"]
    assert (entry["action"], entry["target"], entry["reason"]) == ("close_guard", "fake", "INC-7")
