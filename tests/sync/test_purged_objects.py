"""An external system says that a person must be forgotten."""

import json
from typing import Any

import pytest

from tests.support.fake import FakeSystem
from tests.support.flow import Flow, open_flow
from tests.support.wait import until

WORDS = ("zarathustra", "301234567")
ERASES = {"FAKE_ON_PURGE": "erase"}


async def traces(flow: Flow) -> set[str]:
    """Return the tables that hold values of the person."""
    tables = await flow.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    found = set()
    for table in (row["table_name"] for row in tables):
        for row in await flow.rows(f"SELECT row_to_json(t)::text AS said FROM {table} AS t"):
            if any(word in row["said"].lower() for word in WORDS):
                found.add(table)
    return found


async def person(flow: Flow, *sources: str) -> str:
    record_id = await flow.create(name="Zarathustra", phone="+49301234567")
    for source in sources:
        await flow.deliver(source)
    return record_id


def only_object(system: FakeSystem) -> str:
    (external_id,) = system.objects
    return external_id


async def test_a_purge_erases_the_customer_everywhere(database_url: str) -> None:
    environment = {**ERASES, "OTHER_PROPAGATE_DELETES": "true"}
    options: dict[str, Any] = {"environment": environment, "probe_seconds": 0.1}
    async with open_flow(database_url, "fake", "other", **options) as flow:
        record_id = await person(flow, "fake", "other")
        flow.systems["fake"].purge(only_object(flow.systems["fake"]))
        await flow.deliver()
        await flow.until_scalar("SELECT erased_at FROM customers WHERE id = :id", id=record_id)
        await flow.deliver("other")
        assert await traces(flow) == set()
        assert list(flow.systems["other"].objects.values()) == [None]
        assert await flow.scalar("SELECT count(*) FROM erasure_requests") == 0
        history = await flow.rows(
            "SELECT detail FROM sync_event_history WHERE detail LIKE '%purg%'"
        )
        assert [json.loads(row["detail"]).get("verdict") for row in history] == ["deleted"]


async def test_a_purge_deletes_the_customer_and_is_recorded(database_url: str) -> None:
    async with open_flow(database_url, probe_seconds=0.1) as flow:
        record_id = await person(flow, "fake")
        flow.systems["fake"].purge(only_object(flow.systems["fake"]))
        await flow.deliver()
        record = await flow.record(record_id)
        assert (record["deleted_at"] is None, record["erased_at"]) == (False, None)
        assert await flow.scalar("SELECT count(*) FROM erasure_requests") == 0
        assert await flow.scalar(
            "SELECT count(*) FROM sync_event_history WHERE detail LIKE '%purged%'"
        )


@pytest.mark.parametrize("restores", [True, False])
async def test_a_purge_after_a_delete_erases_the_deleted_customer(
    database_url: str, restores: bool
) -> None:
    systems = {"fake": FakeSystem(restores=restores)}
    options: dict[str, Any] = {"environment": ERASES, "probe_seconds": 0.1}
    async with open_flow(database_url, systems=systems, **options) as flow:
        record_id = await person(flow, "fake")
        system, external_id = systems["fake"], only_object(systems["fake"])
        system.delete(external_id)
        await flow.deliver()
        system.purge(external_id)
        await flow.deliver()
        await flow.until_scalar("SELECT erased_at FROM customers WHERE id = :id", id=record_id)
        assert await traces(flow) == set()
        # Not even a restore brings a purged object back.
        system.restore(external_id, name="Zarathustra")
        await flow.deliver()
        assert await traces(flow) == set()


async def test_an_erasure_waits_for_a_push_in_progress(database_url: str) -> None:
    options: dict[str, Any] = {"environment": ERASES, "probe_seconds": 0.1}
    async with open_flow(database_url, **options) as flow:
        record_id = await person(flow, "fake")
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql(
                "INSERT INTO push_intents (id, source_system, entity_type, entity_id,"
                " sync_event_id, kind, changes, body, revision, state, lease_until)"
                " SELECT 'held', 'fake', 'customer', entity_id, id, 'update', '{}', '{}', 1,"
                " 'sent', now() + interval '1 hour' FROM sync_events LIMIT 1"
            )
        flow.systems["fake"].purge(only_object(flow.systems["fake"]))
        await flow.runtime.ingress.accept("fake", flow.systems["fake"].webhooks.pop(), "test")
        await flow.until_scalar("SELECT deleted_at FROM customers WHERE id = :id", id=record_id)
        assert await flow.scalar("SELECT count(*) FROM erasure_requests") == 1
        async with flow.runtime.engine.begin() as db:
            await db.exec_driver_sql("UPDATE push_intents SET state = 'answered'")
        await until(lambda: flow.scalar("SELECT erased_at FROM customers"))
