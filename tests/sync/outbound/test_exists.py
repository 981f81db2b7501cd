"""A create that is refused because the object exists links the object, if it is free."""

import json
from typing import Any

import pytest

from tests.simulation.clock import Clock, WrongClock
from tests.simulation.workers import Worker
from tests.support.fake import FakeError, FakeSystem, fake_class
from tests.support.flow import Flow, open_flow
from tests.support.unique_emails import UniqueEmails
from tests.support.wait import until
from zenskar import FailureKind, IntentKind, Push
from zenskar.ops.explain.explainer import explain
from zenskar.ops.explain.words import title
from zenskar.plugins.discovery import Plugin


def existing(system: FakeSystem, **values: Any) -> str:
    """Return an object that was made there without a webhook."""
    external_id = system.create(**{"email": "ada@example.com", **values})
    system.webhooks.clear()
    return external_id


async def verdicts(flow: Flow) -> list[str]:
    rows = await flow.rows(
        "SELECT detail FROM sync_event_history WHERE detail IS NOT NULL ORDER BY at, id"
    )
    details = [json.loads(row["detail"]) for row in rows]
    return [detail["verdict"] for detail in details if "verdict" in detail]


async def only_event(flow: Flow, record_id: str) -> dict[str, Any]:
    (event,) = await flow.rows(
        "SELECT * FROM sync_events WHERE entity_id = :id AND direction = 'outbound'", id=record_id
    )
    return event


@pytest.mark.parametrize(
    ("policy", "name"), [("internal_wins", "Here"), ("external_wins", "There")]
)
async def test_a_free_object_is_linked_and_merged_by_the_policy(
    database_url: str, policy: str, name: str
) -> None:
    system, rules = UniqueEmails(), {"FAKE_CONFLICT_POLICY": policy}
    async with open_flow(database_url, systems={"fake": system}, environment=rules) as flow:
        external_id = existing(system, name="There", phone="1")
        record_id = await flow.create(name="Here", metadata={"plan": "pro"})
        await flow.settle()
        assert list(system.objects) == [external_id]
        held = system.objects[external_id]
        assert held is not None
        record = await flow.record(record_id)
        # No empty value beats a value, on either side.
        assert (record["name"], record["phone"]) == (name, "1")
        assert record["metadata"] == held["metadata"] == {"plan": "pro"}
        assert (held["name"], held["phone"]) == (name, "1")
        mapping = await flow.mapping(record_id)
        assert (mapping["external_id"], mapping["state"]) == (external_id, "active")
        event = await only_event(flow, record_id)
        assert (event["status"], event["attempts"]) == ("succeeded", 0)
        assert event["reason"] == "conflict"
        assert (await verdicts(flow))[:2] == ["exists", "linked"]
        steps = (await explain(flow.runtime.engine, record_id)).steps
        assert any("refused, since the object exists there" in title(step) for step in steps)
        view = await flow.runtime.customers.get(record_id)
        assert [each["in_sync"] for each in view["external"]] == [True]


async def test_the_object_of_another_record_is_named_and_not_touched(database_url: str) -> None:
    system = UniqueEmails()
    async with open_flow(database_url, systems={"fake": system}) as flow:
        first = await flow.create(name="First")
        await flow.settle()
        second = await flow.create(name="Second")
        await flow.settle()
        event = await only_event(flow, second)
        assert (event["status"], event["error_kind"]) == ("dead", "rejected")
        assert event["reason"] == "anothers_object"
        assert f"obj_0, which belongs to record {first}" in event["error_message"]
        assert (await flow.record(first))["name"] == "First"
        assert system.fetches == []
        pushes = await flow.rows("SELECT state FROM push_intents ORDER BY created_at")
        assert [row["state"] for row in pushes] == ["answered", "failed"]


async def test_an_object_that_carries_another_id_is_not_linked(database_url: str) -> None:
    system = UniqueEmails()
    async with open_flow(database_url, systems={"fake": system}) as flow:
        external_id = existing(system, name="There", record_id="another")
        record_id = await flow.create(name="Here")
        await flow.settle()
        event = await only_event(flow, record_id)
        assert (event["status"], event["reason"]) == ("dead", "anothers_object")
        assert system.objects[external_id] is not None
        assert await flow.scalar("SELECT count(*) FROM external_mappings") == 0


async def test_without_its_id_the_object_is_a_refusal(database_url: str) -> None:
    system = UniqueEmails(names_it=False)
    async with open_flow(database_url, systems={"fake": system}) as flow:
        existing(system)
        record_id = await flow.create()
        await flow.settle()
        event = await only_event(flow, record_id)
        assert (event["status"], event["error_kind"]) == ("dead", "rejected")


async def test_a_repeated_create_that_meets_its_own_object_finds_it(database_url: str) -> None:
    """The system remembers no keys, so it refuses the object that the first create made."""
    system, lost = UniqueEmails(), [True]

    def lose(_push: Push) -> None:
        system.answers.clear()
        if lost:
            lost.pop()
            raise FakeError(FailureKind.UNKNOWN_OUTCOME)

    system.after = lose
    async with open_flow(database_url, systems={"fake": system}) as flow:
        record_id = await flow.create()
        await flow.settle()
        assert len(system.objects) == 1
        assert len(system.pushes(IntentKind.CREATE)) == 2
        assert (await only_event(flow, record_id))["status"] == "succeeded"
        assert (await verdicts(flow))[-1] == "linked"
        assert (await flow.mapping(record_id))["external_id"] == "obj_0"


async def test_a_record_that_is_deleted_meanwhile_does_not_delete_the_object(
    database_url: str,
) -> None:
    system = UniqueEmails()
    async with open_flow(database_url, systems={"fake": system}, propagate_deletes=True) as flow:
        external_id = existing(system, name="There")

        async def delete(hook: str, _about: str | None) -> None:
            if hook == "fetch":
                await flow.runtime.customers.delete(record_id, correlation_id="test")

        system.reading = delete
        record_id = await flow.create(name="Here")
        await flow.settle()
        assert system.objects[external_id] is not None
        assert system.pushes(IntentKind.DELETE) == []
        assert await flow.scalar("SELECT count(*) FROM external_mappings") == 0


async def test_an_object_that_is_deleted_meanwhile_is_created_anew(database_url: str) -> None:
    system = UniqueEmails()
    async with open_flow(database_url, systems={"fake": system}) as flow:
        external_id = existing(system)

        def delete(hook: str, _about: str | None) -> None:
            if hook == "fetch":
                system.objects[external_id] = None

        system.reading = delete
        record_id = await flow.create()
        await flow.settle()
        mapping = await flow.mapping(record_id)
        assert (mapping["external_id"] != external_id, mapping["state"]) == (True, "active")
        assert (await flow.record(record_id))["deleted_at"] is None
        event = await only_event(flow, record_id)
        assert (event["status"], event["attempts"]) == ("succeeded", 1)


@pytest.mark.parametrize("point", ["outbound.failed", "outbound.called", "outbound.stored_answer"])
async def test_a_worker_that_dies_around_the_link_leaves_it_to_another(
    database_url: str, point: str
) -> None:
    system = UniqueEmails()
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        external_id = existing(system, phone="1")
        plugins = {"fake": Plugin("fake", "test-fake", "1", fake_class(system))}
        clock, settings = Clock(), flow.runtime.settings
        first, second = (Worker(settings, {}, plugins, clock, WrongClock(clock)) for _ in range(2))
        await first.start()
        first.kill_at(point)
        record_id = await flow.create()
        await until(first.killed)
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE outbox SET claimed_until = now()")
            await db.exec_driver_sql("UPDATE push_intents SET lease_until = now()")
        await second.start()
        await flow.settle()
        await second.stop()
        assert list(system.objects) == [external_id]
        assert (await flow.mapping(record_id))["external_id"] == external_id
        assert (await flow.record(record_id))["phone"] == "1"
        assert {event["status"] for event in await flow.events("outbound")} == {"succeeded"}
        assert await flow.scalar("SELECT count(*) FROM push_intents WHERE state = 'sent'") == 0
