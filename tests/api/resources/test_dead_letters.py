"""`/dead-letters` over HTTP."""

from typing import Any

import orjson
import pytest
from sqlalchemy import text as sql

from tests.support.api import UNKNOWN_ID, Api, body_of, event, problem_of
from tests.support.fake import FakeError
from tests.support.flow import running_worker
from zenskar import FailureKind
from zenskar.model.sync_event import Direction
from zenskar.sync.dead_letters import UnsentMessage
from zenskar.sync.quarantine import quarantine

ADA = "ada@example.com"


def refuse(_push: object) -> None:
    raise FakeError(FailureKind.REJECTED)


async def give_up(api: Api, times: int = 1) -> list[str]:
    """Make dead letters; return their ids, oldest first."""
    api.flow.systems["fake"].before = refuse
    for _ in range(times):
        await api.create()
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    api.flow.systems["fake"].before = lambda _push: None
    return [str(found["id"]) for found in await api.flow.events("outbound")]


async def statuses(api: Api) -> list[str]:
    return [str(found["status"]) for found in await api.flow.events("outbound")]


async def send(api: Api, action: str, status: int, **choice: Any) -> dict[str, Any]:
    response = await api.client.post(f"/dead-letters/{action}", json=choice)
    return await body_of(response, status)


async def test_the_list_has_dead_letters_only_and_pages(api: Api) -> None:
    ids = await give_up(api, 3)
    await api.create()
    first = await body_of(await api.client.get("/dead-letters?limit=2"), 200)
    rest = await body_of(await api.client.get(f"/dead-letters?cursor={first['next_cursor']}"), 200)
    found = first["data"] + rest["data"]
    assert [letter["id"] for letter in found] == ids[::-1]
    assert {(one["status"], one["error_kind"]) for one in found} == {("dead", "rejected")}
    assert ADA not in str(found)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("source=fake&direction=outbound&error_kind=rejected&event_type=customer.created", 1),
        ("newer_than=3600", 1),
        ("older_than=3600", 0),
        ("error_kind=bug", 0),
        ("event_type=customer.updated", 0),
        ("source=other", 0),
        ("reason=x", 0),
        (f"customer_id={UNKNOWN_ID}", 0),
    ],
)
async def test_filters(api: Api, query: str, count: int) -> None:
    await give_up(api)
    page = await body_of(await api.client.get(f"/dead-letters?{query}"), 200)
    assert len(page["data"]) == count


async def test_groups_have_a_text_that_selects_them(api: Api) -> None:
    ids = await give_up(api, 2)
    async with api.services.engine.connect() as db:
        await db.exec_driver_sql(
            "UPDATE sync_events SET error_message ="
            " 'object ' || CAST(id AS text) || ' is 100% late'"
        )
    (group,) = (await body_of(await api.client.get("/dead-letters/groups"), 200))["data"]
    assert group["error"] == "object … is …% late"
    assert (group["source"], group["error_kind"], group["count"]) == ("fake", "rejected", 2)
    assert group["example"] == ids[-1]
    params = {"error": group["error"]}
    page = await body_of(await api.client.get("/dead-letters", params=params), 200)
    assert [letter["id"] for letter in page["data"]] == ids[::-1]
    other = await body_of(await api.client.get("/dead-letters/groups?error=other"), 200)
    assert other["data"] == []
    assert await send(api, "discard", 200, error=group["error"]) == {"matched": 2, "discarded": 2}


@pytest.mark.parametrize("text", ["x" * 5_000, "two\nlines", " a space around "])
async def test_any_text_of_a_group_selects_the_group(api: Api, text: str) -> None:
    ids = await give_up(api)
    async with api.services.engine.connect() as db:
        await db.execute(sql("UPDATE sync_events SET error_message = :text"), {"text": text})
    (group,) = (await body_of(await api.client.get("/dead-letters/groups"), 200))["data"]
    params = {"error": group["error"]}
    page = await body_of(await api.client.get("/dead-letters", params=params), 200)
    assert [letter["id"] for letter in page["data"]] == ids


async def test_events_are_found_by_their_ids_elsewhere(api: Api) -> None:
    await give_up(api, 2)
    (first, _) = await api.flow.events("outbound")
    params = {"correlation_id": first["correlation_id"]}
    found = (await body_of(await api.client.get("/sync-events", params=params), 200))["data"]
    assert [each["id"] for each in found] == [str(first["id"])]
    none = (await body_of(await api.client.get("/sync-events?external_id=obj_7"), 200))["data"]
    assert none == []
    counted = await api.client.post("/sync-events/retry", json={"source": "fake", "dry_run": True})
    assert await body_of(counted, 200) == {"matched": 2, "retried": 0}
    assert set(await statuses(api)) == {"dead"}


@pytest.mark.parametrize("query", ["kind=x", "older_than=soon", "newer_than=-1", "direction=up"])
async def test_a_bad_filter_is_400(api: Api, query: str) -> None:
    await problem_of(await api.client.get(f"/dead-letters?{query}"), 400)


async def test_values_of_fields_are_hidden_unless_revealed(api: Api) -> None:
    (event_id,) = await give_up(api)
    path = f"/dead-letters/{event_id}"
    hidden = await body_of(await api.client.get(path), 200)
    assert [entry["status"] for entry in hidden["history"]] == ["pending", "processing", "dead"]
    assert hidden["history"][1]["detail"]["changes"]["/email"] == "(hidden)"
    assert hidden["payload"]["data"]["document"]["email"] == "(hidden)"
    assert hidden["payload"]["data"]["entity_id"] == hidden["entity_id"]
    assert ADA not in str(hidden)
    assert ADA in str(await body_of(await api.client.get(f"{path}?reveal=true"), 200))
    await problem_of(await api.client.get(f"{path}?reveal=maybe"), 400)


async def test_the_message_of_an_inbound_one_is_shown_without_its_values(api: Api) -> None:
    await api.webhook(event(metadata={"id": "canary", "a b@example.com": "canary"}))
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    (found,) = await api.flow.events("inbound")
    async with api.services.engine.begin() as db:
        await db.exec_driver_sql("UPDATE sync_events SET status = 'dead'")
        await db.exec_driver_sql("UPDATE sync_event_history SET status = 'dead'")
    path = f"/dead-letters/{found['id']}"
    shown = await body_of(await api.client.get(path), 200)
    assert shown["payload"]["data"]["object"]["external_id"] == "obj_1"
    assert shown["payload"]["data"]["object"]["document"]["email"] == "(hidden)"
    assert not {ADA, "canary", "a b@"} & set(str(shown).split("'"))
    full = await body_of(await api.client.get(f"{path}?reveal=true"), 200)
    assert full["payload"]["data"]["object"]["document"]["email"] == ADA


async def test_what_was_no_dead_letter_is_404(api: Api) -> None:
    created = await api.create()
    (found,) = await api.flow.events("outbound")
    for event_id in (found["id"], created["id"], UNKNOWN_ID, "x"):
        await problem_of(await api.client.get(f"/dead-letters/{event_id}"), 404)


async def test_retry_one(api: Api) -> None:
    (event_id,) = await give_up(api)
    path = f"/dead-letters/{event_id}"
    answer = await body_of(await api.client.post(f"{path}/retry"), 202)
    assert answer == {"matched": 1, "retried": 1}
    await problem_of(await api.client.post(f"{path}/retry"), 409)
    async with running_worker(api.flow.runtime):
        await api.flow.settle()
    assert await statuses(api) == ["succeeded"]
    letter = await body_of(await api.client.get(path), 200)
    audit = next(e["detail"] for e in letter["history"] if "reason" in e["detail"])
    assert audit == {"reason": "retry_requested", "by": "anonymous", "from": "127.0.0.1"}


async def test_discard_one(api: Api) -> None:
    (event_id,) = await give_up(api)
    path = f"/dead-letters/{event_id}"
    answer = await body_of(await api.client.post(f"{path}/discard"), 200)
    assert answer == {"matched": 1, "discarded": 1}
    letter = await body_of(await api.client.get(path), 200)
    assert (letter["status"], letter["reason"]) == ("ignored", "discarded")
    assert letter["history"][-1]["detail"]["from"] == "127.0.0.1"
    for action in ("discard", "retry"):
        await problem_of(await api.client.post(f"{path}/{action}"), 409)
        await problem_of(await api.client.post(f"/dead-letters/{UNKNOWN_ID}/{action}"), 404)


@pytest.mark.parametrize(
    ("action", "done", "status"), [("retry", "retried", 202), ("discard", "discarded", 200)]
)
async def test_many(api: Api, action: str, done: str, status: int) -> None:
    ids = await give_up(api, 3)
    dry = await send(api, action, 200, all=True, dry_run=True)
    assert dry == {"matched": 3, done: 0}
    assert await statuses(api) == ["dead"] * 3
    assert await send(api, action, status, error_kind="bug") == {"matched": 0, done: 0}
    assert await send(api, action, status, ids=ids[:1]) == {"matched": 1, done: 1}
    chosen = {"source": "fake", "direction": "outbound", "error_kind": "rejected"}
    assert await send(api, action, status, **chosen) == {"matched": 2, done: 2}
    assert await send(api, action, status, all=True) == {"matched": 0, done: 0}


@pytest.mark.parametrize("action", ["retry", "discard"])
async def test_everything_is_never_meant_by_accident(api: Api, action: str) -> None:
    path = f"/dead-letters/{action}"
    for vague in ({}, {"dry_run": True}, {"all": False}, {"all": True, "source": "fake"}):
        await problem_of(await api.client.post(path, json=vague), 400)
    for wrong in ({"stauts": "dead"}, {"ids": []}, {"older_than": "2h"}, [], {"source": "\0"}):
        await problem_of(await api.client.post(path, json=wrong), 422)


async def test_a_message_that_cannot_be_read_is_shown_only_on_demand(api: Api) -> None:
    for value in (orjson.dumps({"type": "canary@x.example"}), b"canary@x.example"):
        letter = UnsentMessage("fake:x", value)
        await quarantine(api.flow.runtime.context, letter, "no envelope", Direction.INBOUND)
    page = await body_of(await api.client.get("/dead-letters?reason=unreadable"), 200)
    for letter in page["data"]:
        path = f"/dead-letters/{letter['id']}"
        assert "canary" not in str(await body_of(await api.client.get(path), 200))
        assert "canary" in str(await body_of(await api.client.get(f"{path}?reveal=true"), 200))
        sync_event = await body_of(
            await api.client.get(f"/sync-events/{letter['id']}?include=payload"), 200
        )
        assert "canary" in str(sync_event["payload"])
        problem = await problem_of(await api.client.post(f"{path}/retry"), 409)
        assert "this release" in problem["detail"]
    assert await send(api, "retry", 202, all=True) == {"matched": 2, "retried": 0}


async def test_a_cause_is_acknowledged_until_another_letter_dies(api: Api) -> None:
    path = "/dead-letters/acknowledge?source=fake&error_kind=rejected"
    await problem_of(await api.client.post(path), 404)
    await problem_of(await api.client.post("/dead-letters/acknowledge"), 400)
    await give_up(api, 2)
    done = await body_of(await api.client.post(path, headers={"X-Reason": "INC-7"}), 200)
    assert done == {"acknowledged": 2}
    (group,) = (await body_of(await api.client.get("/dead-letters/groups"), 200))["data"]
    assert (group["acknowledged"]["by"], group["acknowledged"]["reason"]) == ("anonymous", "INC-7")
    (entry,) = (await body_of(await api.client.get("/audit"), 200))["data"]
    assert (entry["action"], entry["target"]) == ("acknowledge", "fake")
    assert entry["request"] == {"source": "fake", "error_kind": "rejected"}
    await give_up(api)
    (group,) = (await body_of(await api.client.get("/dead-letters/groups"), 200))["data"]
    assert (group["count"], group["acknowledged"]) == (3, None)
