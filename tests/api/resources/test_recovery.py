"""`/recovery` over HTTP."""

from dataclasses import replace

from aiohttp import ClientSession

from tests.support.api import Api, body_of, problem_of
from tests.support.logged_bus import LoggedBus, restore, waiting_values
from zenskar.api.app import create_app
from zenskar.api.server import serve

SINCE = {"since": "2026-01-01T00:00:00Z"}
REPEAT = "/recovery/repeat-deletes"


async def test_lost_deletes_are_reported_and_repeated(api: Api) -> None:
    made = await api.create()
    await api.client.delete(f"/customers/{made['id']}")
    values = await waiting_values(api.flow)
    await restore(api.flow)
    logged = replace(api.flow.runtime, bus=LoggedBus(api.flow.runtime.bus, [values]))
    app = create_app(logged.services())
    served = serve(app, "127.0.0.1", 0, logged.settings)
    async with served as address, ClientSession(address) as client:
        report = await body_of(await client.get("/recovery", params=SINCE), 200)
        (lost,) = report["deleted_since"]
        assert (lost["entity_type"], lost["record_id"]) == ("customer", made["id"])
        assert (report["deletes_known"], report["deleted"], report["left"]) == (True, 0, 1)
        trial = await client.post(REPEAT, params=SINCE | {"dry_run": "true"})
        assert await body_of(trial, 200) == report
        assert (await client.get(f"/customers/{made['id']}")).status == 200
        headers = {"X-Reason": "a disk was lost"}
        done = await body_of(await client.post(REPEAT, params=SINCE, headers=headers), 200)
        assert (done["deleted_since"], done["deleted"], done["left"]) == ([lost], 1, 0)
        assert (await client.get(f"/customers/{made['id']}")).status == 404
        (action,) = (await body_of(await client.get("/audit"), 200))["data"]
        assert (action["action"], action["reason"]) == ("repeat_deletes", "a disk was lost")
        assert (action["place"], action["result"]) == ("127.0.0.1", {"deleted": 1})
        again = await body_of(await client.get("/recovery", params=SINCE), 200)
        assert again["deleted_since"] == []


async def test_keys_in_force_and_pauses_are_reported(api: Api) -> None:
    for name in ("old", "revoked"):
        body = {"name": name, "scope": "read"}
        made = await body_of(await api.client.post("/keys", json=body), 201)
    await body_of(await api.client.post(f"/keys/{made['prefix']}/revoke"), 200)
    await body_of(await api.client.post("/connections/fake/pause"), 200)
    report = await body_of(await api.client.get("/recovery", params=SINCE), 200)
    assert [key["name"] for key in report["api_keys"]] == ["old"]
    (paused,) = report["paused"]
    assert (paused["name"], paused["paused_at"] is None) == ("fake", False)
    assert (report["deletes_known"], report["deleted_since"]) == (False, [])


async def test_the_time_of_the_backup_is_needed(api: Api) -> None:
    for query in ({}, {"since": "yesterday"}, {"since": "2999-01-01T00:00:00Z"}):
        await problem_of(await api.client.get("/recovery", params=query), 400)
        await problem_of(await api.client.post(REPEAT, params=query), 400)
