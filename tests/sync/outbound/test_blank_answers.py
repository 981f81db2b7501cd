"""A system whose answers to pushes do not show the object."""

import asyncio
from typing import Any

import pytest

from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import DEADLINE_SECONDS, Flow, open_flow, running_worker
from tests.support.versioned import VersionedSystem
from zenskar import ExternalObject, FailureKind, IntentKind, Push, PushResult


async def patched(flow: Flow, record_id: str, **changes: Any) -> None:
    await flow.runtime.customers.patch(record_id, changes, correlation_id="test")
    await flow.settle()


async def test_an_object_is_fetched_after_an_answer_that_does_not_show_it(
    database_url: str,
) -> None:
    system = FakeSystem(blind=True)
    async with open_flow(database_url, systems={"fake": system}) as flow:
        record_id = await flow.create(phone="1")
        await flow.settle()
        (external_id,) = system.objects
        assert system.fetches == [external_id]
        await patched(flow, record_id, phone="2")
        assert system.fetches == [external_id] * 2
        view = await flow.runtime.customers.get(record_id)
        assert [each["in_sync"] for each in view["external"]] == [True]
        assert len(system.calls) == 2
        states = await flow.rows("SELECT DISTINCT state FROM push_intents")
        assert [row["state"] for row in states] == ["answered"]
        events = await flow.events("outbound")
        assert {(e["status"], e["attempts"]) for e in events} == {("succeeded", 0)}


async def test_a_value_that_is_rewritten_there_is_seen_by_the_fetch(database_url: str) -> None:
    system = FakeSystem(blind=True)

    def rewrite(push: Push) -> None:
        push.body["name"] = push.body["name"].title()  # type: ignore[index]

    async with open_flow(database_url, systems={"fake": system}) as flow:
        system.before = rewrite
        record_id = await flow.create(name="EVE")
        await flow.settle()
        assert (await flow.record(record_id))["name"] == "Eve"
        await patched(flow, record_id, name="ADA")
        assert (await flow.record(record_id))["name"] == "Ada"
        assert len(system.calls) == 2


async def test_a_delete_needs_no_fetch(database_url: str) -> None:
    system = FakeSystem(blind=True)
    async with open_flow(database_url, systems={"fake": system}, propagate_deletes=True) as flow:
        record_id = await flow.create()
        await flow.settle()
        fetched = len(system.fetches)
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        assert len(system.pushes(IntentKind.DELETE)) == 1
        assert len(system.fetches) == fetched
        assert (await flow.mapping(record_id))["state"] == "deleted"


async def test_the_fetch_shows_the_version_for_the_next_push(database_url: str) -> None:
    system = VersionedSystem(blind=True)
    async with open_flow(database_url, systems={"fake": system}) as flow:
        record_id = await flow.create()
        await flow.settle()
        await patched(flow, record_id, phone="2")
        await patched(flow, record_id, phone="3")
        versions = [push.if_version for push in system.pushes(IntentKind.UPDATE)]
        assert (versions, system.refused) == (["v1", "v2"], [])


async def test_a_worker_that_dies_before_the_fetch_leaves_it_to_another(database_url: str) -> None:
    system = FakeSystem(blind=True)
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        asked, never = asyncio.Event(), asyncio.Event()

        async def hang(hook: str, _about: str | None) -> None:
            if hook == "fetch":
                asked.set()
                await never.wait()

        system.reading = hang
        record_id = await flow.create()
        victim = asyncio.create_task(flow.runtime.worker().run(asyncio.Event()))
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asked.wait()
        victim.cancel()
        await asyncio.gather(victim, return_exceptions=True)
        system.reading = lambda _hook, _about: None
        view = await flow.runtime.customers.get(record_id)
        assert [each["in_sync"] for each in view["external"]] == [False]
        async with running_worker(flow.runtime):
            await flow.settle()
        view = await flow.runtime.customers.get(record_id)
        assert [each["in_sync"] for each in view["external"]] == [True]
        assert len(system.calls) == 1


async def test_a_lost_answer_to_a_blank_create_makes_no_second_object(database_url: str) -> None:
    system, lost = FakeSystem(blind=True), [True]

    def lose(_push: Push) -> None:
        if lost:
            lost.pop()
            raise FakeError(FailureKind.UNKNOWN_OUTCOME)

    system.after = lose
    async with open_flow(database_url, systems={"fake": system}) as flow:
        await flow.create()
        await flow.settle()
        assert len(system.objects) == 1


@pytest.mark.parametrize("kind", [IntentKind.CREATE, IntentKind.UPDATE, IntentKind.DELETE])
def test_a_result_without_a_body_names_the_object_of_the_push(kind: IntentKind) -> None:
    known = None if kind is IntentKind.CREATE else "x1"
    push = Push(kind, "customer", "r1", known, {})
    data = None if kind is IntentKind.DELETE else {}
    expected = ExternalObject("customer", "x1", data, "r1", 7)
    shows = kind is IntentKind.DELETE
    assert PushResult.unseen(push, "x1", answered_at=7) == PushResult(expected, shows=shows)


async def test_a_blank_answer_to_a_create_needs_an_id(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen = PushResult.unseen
    monkeypatch.setattr(PushResult, "unseen", lambda push, _external_id: unseen(push))
    system = FakeSystem(blind=True)
    async with open_flow(database_url, systems={"fake": system}, retry_max_attempts=1) as flow:
        await flow.create()
        await flow.settle()
        (event,) = await flow.events("outbound")
        assert (event["status"], event["error_kind"]) == ("dead", "unknown_outcome")
        assert "/external_id" in event["error_message"]
