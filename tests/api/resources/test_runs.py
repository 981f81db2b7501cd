"""`/runs` over HTTP: requested, watched, planned, applied and stopped."""

from typing import Any

from tests.support.api import UNKNOWN_ID, Api, body_of, open_api, problem_of
from tests.support.wait import until
from zenskar.db import api_keys
from zenskar.db.driver.engine import in_transaction
from zenskar.model.scope import Scope

ABOUT = {"source": "fake", "entity_type": "customer"}


async def run_of(api: Api, **body: Any) -> dict[str, Any]:
    return await body_of(await api.client.post("/runs", json=ABOUT | body), 202)


async def ended(api: Api, run: dict[str, Any]) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        return await body_of(await api.client.get(f"/runs/{run['id']}"), 200)

    async def has_ended() -> bool:
        return (await read())["ended_at"] is not None

    await until(has_ended)
    return await read()


async def test_a_repair_is_planned_and_applied_over_http(database_url: str) -> None:
    async with open_api(database_url, working=True) as api:
        api.flow.systems["fake"].create(name="Grace")
        api.flow.systems["fake"].webhooks.clear()
        answer = await api.client.post(
            "/runs", json=ABOUT | {"kind": "plan_repair"}, headers={"X-Reason": "INC-42"}
        )
        begun = await body_of(answer, 202)
        assert answer.headers["Location"] == f"/runs/{begun['id']}"
        planned = await ended(api, begun)
        assert (planned["state"], planned["reason"]) == ("done", "INC-42")
        assert planned["result"]["counts"]["create_here"] == 1
        plan = await body_of(await api.client.get(f"/runs/{begun['id']}/plan"), 200)
        assert len(plan["steps"]) == 1
        assert "Grace" not in str(plan)
        applied = await ended(api, await run_of(api, kind="apply_repair", plan_of=begun["id"]))
        assert (applied["state"], applied["result"]["done"]) == ("done", 1)
        listed = await body_of(await api.client.get("/runs?source=fake&state=done&limit=1"), 200)
        assert [each["id"] for each in listed["data"]] == [applied["id"]]
        assert listed["next_cursor"] is not None
        (entry,) = (await body_of(await api.client.get("/audit"), 200))["data"]
        assert (entry["action"], entry["state"], entry["target"]) == (
            "apply_repair",
            "done",
            "fake",
        )


async def test_a_run_that_waits_is_stopped(api: Api) -> None:
    run = await run_of(api, kind="compare")
    assert (
        "another run"
        in (
            await problem_of(await api.client.post("/runs", json=ABOUT | {"kind": "backfill"}), 409)
        )["detail"]
    )
    stopped = await body_of(await api.client.post(f"/runs/{run['id']}/stop"), 202)
    assert stopped["state"] == "stopped"
    await problem_of(await api.client.post(f"/runs/{run['id']}/stop"), 409)
    await problem_of(await api.client.get(f"/runs/{run['id']}/plan"), 404)
    await problem_of(await api.client.get(f"/runs/{UNKNOWN_ID}"), 404)


async def test_a_request_that_makes_no_sense_is_refused(api: Api) -> None:
    for body, status in (
        (ABOUT | {"kind": "dance"}, 422),
        (ABOUT | {"kind": "compare", "force": True}, 400),
        (ABOUT | {"kind": "compare", "source": "other"}, 404),
        (ABOUT | {"kind": "compare", "entity_type": "invoice"}, 400),
        (ABOUT | {"kind": "plan_join", "match_by": ["shoe_size"]}, 400),
        (ABOUT | {"kind": "apply_repair", "plan_of": UNKNOWN_ID}, 404),
        ({"kind": "compare", "source": "fake"}, 400),
    ):
        await problem_of(await api.client.post("/runs", json=body), status)
    assert (await body_of(await api.client.get("/runs"), 200))["data"] == []


async def test_a_key_that_may_write_may_compare_but_not_repair(database_url: str) -> None:
    async with open_api(database_url, auth="required") as api:
        _, key = await in_transaction(
            api.services.engine, lambda c: api_keys.create(c, "ops", Scope.WRITE)
        )
        headers = {"Authorization": f"Bearer {key}"}
        for kind, status in (("repair", 403), ("backfill", 403), ("compare", 202)):
            answer = await api.client.post("/runs", json=ABOUT | {"kind": kind}, headers=headers)
            assert answer.status == status
