"""Duplicates are merged there: the copy carries our id, and the original is deleted."""

import pytest

from tests.support.drift import execute, names
from tests.support.flow import Flow, open_flow, running_worker


async def made(flow: Flow) -> tuple[str, str]:
    """Make a record and its object; return both ids."""
    record_id = await flow.create(name="Ada")
    await flow.deliver()
    return record_id, next(iter(flow.systems["fake"].objects))


@pytest.mark.parametrize("copy_first", [True, False])
async def test_the_survivor_becomes_a_record(database_url: str, copy_first: bool) -> None:
    async with open_flow(database_url) as flow:
        record_id, original = await made(flow)
        system = flow.systems["fake"]
        copy = system.create(name="Ada", email="ada@example.com", record_id=record_id)
        system.delete(original)
        if not copy_first:
            system.webhooks.reverse()
        await flow.deliver()
        assert (await flow.record(record_id))["deleted_at"] is not None
        (survivor,) = await flow.rows(
            "SELECT entity_id::text, state FROM external_mappings WHERE external_id = :id", id=copy
        )
        assert (survivor["state"], survivor["entity_id"] == record_id) == ("active", False)
        system.edit(copy, name="Ada L.")
        await flow.deliver()
        assert await names(flow) == ["Ada L."]


@pytest.mark.parametrize("propagate", [True, False])
async def test_a_copy_outlives_a_record_that_is_deleted_here(
    database_url: str, propagate: bool
) -> None:
    async with open_flow(database_url, propagate_deletes=propagate) as flow:
        record_id, original = await made(flow)
        system = flow.systems["fake"]
        copy = system.create(name="Copy", record_id=record_id)
        await flow.deliver()
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        await flow.deliver()
        assert await names(flow) == ["Copy"]
        assert (system.objects[original] is None) is propagate
        assert system.objects[copy] is not None


async def test_a_late_event_of_a_deleted_copy_makes_no_record(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id, original = await made(flow)
        system = flow.systems["fake"]
        copy = system.create(name="Copy", record_id=record_id)
        system.edit(copy, name="Late")
        late = system.webhooks.pop()
        system.delete(copy)
        system.delete(original)
        await flow.deliver()
        await flow.runtime.ingress.accept("fake", late, "test")
        await flow.settle()
        assert await names(flow) == []


async def test_our_own_delete_is_not_undone_by_a_late_webhook(database_url: str) -> None:
    async with open_flow(database_url, propagate_deletes=True) as flow:
        record_id, original = await made(flow)
        system = flow.systems["fake"]
        system.edit(original, name="Late")
        late = system.webhooks.pop()
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        await flow.deliver()
        await flow.runtime.ingress.accept("fake", late, "test")
        await flow.settle()
        assert (await names(flow), system.objects[original]) == ([], None)


async def test_what_a_lost_create_made_ends_with_its_record(database_url: str) -> None:
    """The record was deleted here while nobody knew of the object that our create had made."""
    async with open_flow(database_url, working=False) as flow:
        record_id = await flow.create(name="Ada")
        await execute(flow, "DELETE FROM outbox")
        await execute(
            flow,
            "INSERT INTO push_intents (id, source_system, entity_type, entity_id, sync_event_id,"
            " kind, changes, body, revision, state) SELECT 'lost', 'fake', 'customer', entity_id,"
            " id, 'create', '{\"/name\": \"Ada\"}', '{}', 0, 'unknown' FROM sync_events",
        )
        await execute(flow, "UPDATE sync_events SET status = 'dead'")
        await execute(flow, "UPDATE customers SET deleted_at = now()")
        system = flow.systems["fake"]
        own = system.create(name="Ada", record_id=record_id)
        await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "test")
        async with running_worker(flow.runtime):
            await flow.settle()
        assert await names(flow) == []
        mapping = await flow.mapping(record_id)
        assert (mapping["external_id"], mapping["detached"]) == (own, True)
