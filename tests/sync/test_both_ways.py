"""A customer travels both ways through the real services and a real database."""

import pytest

from tests.support.flow import open_flow
from zenskar import IntentKind


async def test_a_created_customer_reaches_the_external_system(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await flow.create(metadata={"plan": "pro"})
        await flow.settle()
        ((external_id, seen),) = flow.systems["fake"].objects.items()
        assert seen is not None
        assert (seen["name"], seen["record_id"]) == ("Ada", record_id)
        mapping = await flow.mapping(record_id)
        assert mapping["external_id"] == external_id
        assert mapping["base"]["/metadata/plan"] == "pro"
        assert mapping["synced_version"] == 1
        (event,) = await flow.events("outbound")
        assert (event["status"], event["reason"]) == ("succeeded", "pushed")


async def test_our_own_write_coming_back_causes_no_push(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await flow.create()
        await flow.settle()
        await flow.deliver()
        assert len(flow.systems["fake"].calls) == 1
        (event,) = await flow.events("inbound")
        assert (event["status"], event["reason"]) == ("ignored", "echo")
        assert (await flow.record(record_id))["version"] == 1


async def test_an_external_edit_comes_back(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await flow.create()
        await flow.settle()
        await flow.deliver()
        system = flow.systems["fake"]
        system.edit(next(iter(system.objects)), email="ada@new.example")
        await flow.deliver()
        record = await flow.record(record_id)
        assert (record["email"], record["version"]) == ("ada@new.example", 2)
        assert len(system.calls) == 1


@pytest.mark.parametrize("propagate", [True, False])
async def test_a_local_delete_is_propagated_or_the_mapping_detached(
    database_url: str, propagate: bool
) -> None:
    async with open_flow(database_url, propagate_deletes=propagate) as flow:
        record_id = await flow.create()
        await flow.settle()
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        system = flow.systems["fake"]
        mapping = await flow.mapping(record_id)
        assert mapping["state"] == "deleted"
        assert mapping["detached"] is not propagate
        assert len(system.pushes(IntentKind.DELETE)) == int(propagate)


async def test_a_change_at_one_connection_reaches_the_other(database_url: str) -> None:
    async with open_flow(database_url, "left", "right") as flow:
        left, right = flow.systems["left"], flow.systems["right"]
        left.create(name="Grace", email="grace@example.com")
        await flow.deliver("left")
        (seen,) = right.objects.values()
        assert seen is not None
        assert seen["name"] == "Grace"
        external_id = next(iter(right.objects))
        right.edit(external_id, name="Grace H.")
        await flow.deliver("right")
        (seen,) = left.objects.values()
        assert seen is not None
        assert seen["name"] == "Grace H."
