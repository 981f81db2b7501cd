"""`/sync-events` over HTTP."""

import pytest

from tests.support.api import UNKNOWN_ID, Api, body_of, event, problem_of
from tests.support.flow import running_worker
from zenskar.db.events import event_search

FIELDS = {
    "id", "direction", "source_system", "entity_type", "entity_id", "external_id", "event_type",
    "external_event_id", "correlation_id", "causation_id", "status", "reason", "attempts",
    "next_attempt_at", "error_kind", "error_message", "created_at", "updated_at",
}  # fmt: skip


async def set_status(api: Api, event_id: str, status: str) -> None:
    async with api.services.engine.begin() as db:
        await db.exec_driver_sql(
            f"UPDATE sync_events SET status = '{status}' WHERE id = '{event_id}'"
        )
        await db.exec_driver_sql("DELETE FROM outbox")


async def only_event(api: Api, query: str = "") -> dict[str, object]:
    page = await body_of(await api.client.get(f"/sync-events{query}"), 200)
    (found,) = page["data"]
    return found


async def test_list_shows_events_without_payload(api: Api) -> None:
    created = await api.create()
    found = await only_event(api)
    assert set(found) == FIELDS
    assert (found["entity_id"], found["status"]) == (created["id"], "pending")
    assert "ada@example.com" not in str(found)


async def test_filters(api: Api) -> None:
    first, second = await api.create(), await api.create()
    await set_status(api, str((await only_event(api, f"?customer_id={first['id']}"))["id"]), "dead")
    assert (await only_event(api, "?status=dead"))["entity_id"] == first["id"]
    assert (await only_event(api, "?status=pending"))["entity_id"] == second["id"]
    for nothing in ("source=other", "direction=inbound", "reason=x", f"customer_id={UNKNOWN_ID}"):
        page = await body_of(await api.client.get(f"/sync-events?{nothing}"), 200)
        assert page == {"data": [], "next_cursor": None}
    both = await body_of(await api.client.get("/sync-events?source=fake&direction=outbound"), 200)
    assert len(both["data"]) == 2


async def test_a_page_with_a_cursor_may_be_empty(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rare filter reads a bounded number of events for a page."""
    monkeypatch.setattr(event_search, "SCANNED", 2)
    first = await api.create()
    for _ in range(3):
        await api.create()
    await set_status(api, str((await only_event(api, f"?customer_id={first['id']}"))["id"]), "dead")
    query = f"status=pending&correlation_id={first['id']}"
    page = await body_of(await api.client.get(f"/sync-events?{query}"), 200)
    assert page["data"] == []
    assert page["next_cursor"]
    path = f"/sync-events?{query}&cursor={page['next_cursor']}"
    last = await body_of(await api.client.get(path), 200)
    assert last == {"data": [], "next_cursor": None}


async def test_pages(api: Api) -> None:
    for _ in range(3):
        await api.create()
    first = await body_of(await api.client.get("/sync-events?limit=2"), 200)
    cursor = first["next_cursor"]
    second = await body_of(await api.client.get(f"/sync-events?limit=2&cursor={cursor}"), 200)
    ids = [e["id"] for e in first["data"] + second["data"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), second["next_cursor"]) == (3, None)


@pytest.mark.parametrize(
    "query",
    [
        "status=done", "direction=up", "customer_id=x", "limit=0", "cursor=%21", "stauts=dead",
        "source=", "source=" + "x" * 600, "source=a%0Ab", "source=a%00b", "reason=%1B[2J",
        "status=dead&status=dead", "status=", "direction=INBOUND",
        f"customer_id={{{UNKNOWN_ID}}}", f"customer_id={UNKNOWN_ID.replace('-', '')}",
    ],
)  # fmt: skip
async def test_bad_parameters_are_400(api: Api, query: str) -> None:
    await problem_of(await api.client.get(f"/sync-events?{query}"), 400)


@pytest.mark.parametrize(
    "query", ["include=", "include=payloads", "include=payload&include=payload", "reveal=true"]
)
async def test_bad_parameters_of_one_event_are_400(api: Api, query: str) -> None:
    await problem_of(await api.client.get(f"/sync-events/{UNKNOWN_ID}?{query}"), 400)


async def test_the_single_one_has_a_history_and_on_demand_the_payload(api: Api) -> None:
    await api.webhook(event())
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    path = f"/sync-events/{(await only_event(api, '?direction=inbound'))['id']}"
    found = await body_of(await api.client.get(path), 200)
    assert set(found) == FIELDS | {"history"}
    assert [entry["status"] for entry in found["history"]] == ["pending", "succeeded"]
    assert {"at", "status", "detail"} == found["history"][0].keys()
    full = await body_of(await api.client.get(f"{path}?include=payload"), 200)
    assert full["payload"]["data"]["object"]["external_id"] == "obj_1"


@pytest.mark.parametrize("event_id", [UNKNOWN_ID, "x"])
async def test_unknown_ids_are_404(api: Api, event_id: str) -> None:
    await problem_of(await api.client.get(f"/sync-events/{event_id}"), 404)
    await problem_of(await api.client.post(f"/sync-events/{event_id}/retry"), 404)


async def test_retry_one(api: Api) -> None:
    created = await api.create()
    event_id = str((await only_event(api))["id"])
    await problem_of(await api.client.post(f"/sync-events/{event_id}/retry"), 409)
    await set_status(api, event_id, "dead")
    answer = await body_of(await api.client.post(f"/sync-events/{event_id}/retry"), 202)
    assert answer == {"retried": 1}
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    assert (await only_event(api))["status"] == "succeeded"
    view = await body_of(await api.client.get(f"/customers/{created['id']}"), 200)
    assert view["external"][0] | {"state": "active", "in_sync": True} == view["external"][0]


async def test_retry_many(api: Api) -> None:
    for _ in range(3):
        created = await api.create()
    for found in await api.flow.events("outbound"):
        await set_status(api, str(found["id"]), "dead")
    one = {"status": "dead", "source": "fake", "customer_id": created["id"]}
    assert await body_of(await api.client.post("/sync-events/retry", json=one), 202) == {
        "retried": 1
    }
    assert await body_of(await api.client.post("/sync-events/retry", json={}), 202) == {
        "retried": 2
    }
    assert await body_of(await api.client.post("/sync-events/retry", json={}), 202) == {
        "retried": 0
    }


@pytest.mark.parametrize(
    "body",
    [{"stauts": "dead"}, {"status": "pending"}, {"ids": ["x"]}, {"ids": []}, [], {"source": "\0"}],
)
async def test_a_bad_filter_is_422(api: Api, body: object) -> None:
    await problem_of(await api.client.post("/sync-events/retry", json=body), 422)
