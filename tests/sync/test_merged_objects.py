"""People merge duplicates there: the record follows its object, and nothing is deleted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.drift import factory, names, reconcile
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.killed import replaced_when_killed
from tests.support.merging import MergingSystem
from zenskar import ExternalObject, IntentKind
from zenskar.cli.render.explain_text import explanation_lines
from zenskar.errors import CallFailed, FailureKind, SchemaViolation
from zenskar.model.actor import Actor
from zenskar.ops.explain.explainer import explain
from zenskar.ops.undelete import LinkState


@asynccontextmanager
async def merging(
    database_url: str, **settings: Any
) -> AsyncIterator[tuple[Flow, MergingSystem, str, str]]:
    """Yield a record with its object."""
    system = MergingSystem()
    async with open_flow(database_url, systems={"fake": system}, **settings) as flow:
        record_id = await flow.create(phone="1")
        await flow.deliver()
        (external_id,) = system.objects
        yield flow, system, record_id, external_id


async def links(flow: Flow, record_id: str) -> list[tuple[str, str | None]]:
    """Return the state of each mapping of a record, and its successor."""
    rows = await flow.rows(
        "SELECT state, merged_into FROM external_mappings WHERE entity_id = :id ORDER BY state",
        id=record_id,
    )
    return [(row["state"], row["merged_into"]) for row in rows]


async def live_object(flow: Flow, record_id: str) -> str:
    return str(
        await flow.scalar(
            "SELECT external_id FROM external_mappings WHERE entity_id = :id AND state = 'active'",
            id=record_id,
        )
    )


async def edit(flow: Flow, record_id: str, **changes: Any) -> None:
    await flow.runtime.customers.patch(record_id, changes, correlation_id="test")
    await flow.settle()


async def explained(flow: Flow, record_id: str) -> str:
    found = await explain(flow.runtime.engine, record_id)
    return "\n".join(line.text for line in explanation_lines(found, 400))


async def unseen(system: MergingSystem, **values: Any) -> str:
    """Return an object whose webhook does not arrive."""
    external_id = system.create(**values)
    system.webhooks.clear()
    return external_id


async def test_a_record_follows_its_object_into_a_free_successor(database_url: str) -> None:
    async with merging(database_url) as (flow, system, record_id, external_id):
        winner = await unseen(system, name="Ada L.", email="ada@example.com", phone="1")
        system.merge(external_id, winner)
        again = list(system.webhooks)
        await flow.deliver()
        assert await live_object(flow, record_id) == winner
        assert (await flow.record(record_id))["name"] == "Ada L."
        assert await links(flow, record_id) == [("active", None), ("deleted", winner)]
        # Sync goes on in both directions.
        await edit(flow, record_id, phone="2")
        assert (system.objects[winner] or {})["phone"] == "2"
        system.edit(winner, name="Ada Lovelace")
        await flow.deliver()
        assert await names(flow) == ["Ada Lovelace"]
        assert system.pushes(IntentKind.CREATE)[1:] == []
        # The merge is seen again, under another id, and so is an old state of the merged object.
        system.webhooks += again
        system.objects[external_id] = {"name": "Old", "record_id": record_id}
        system.announce("updated", external_id)
        system.objects[external_id] = None
        await flow.deliver()
        assert await names(flow) == ["Ada Lovelace"]
        assert dict((await reconcile(flow)).found) == {}
        text = await explained(flow, record_id)
        assert f"merged_into, the object lives on in another object {winner}" in text
        assert (await flow.runtime.customers.get(record_id))["external"][0]["in_sync"]


@pytest.mark.parametrize("propagate_deletes", [True, False])
async def test_two_records_of_one_object_both_stay(
    database_url: str, propagate_deletes: bool
) -> None:
    settings = {"propagate_deletes": propagate_deletes}
    async with merging(database_url, **settings) as (flow, system, record_id, external_id):
        winner = system.create(name="Eve")
        await flow.deliver()
        calls = len(system.calls)
        system.merge(external_id, winner)
        system.edit(winner, phone="1")
        await flow.deliver()
        assert await names(flow) == ["Ada", "Eve"]
        assert await links(flow, record_id) == [("deleted", winner)]
        await edit(flow, record_id, name="Ada L.")
        (link,) = (await flow.runtime.customers.get(record_id))["external"]
        assert (link["state"], link["in_sync"]) == ("merged", False)
        reasons = await flow.rows(
            "SELECT reason FROM sync_events WHERE entity_id = :id ORDER BY id DESC LIMIT 1",
            id=record_id,
        )
        assert reasons == [{"reason": "merged_into"}]
        assert f"{external_id}, merged into {winner}" in await explained(flow, record_id)
        assert dict((await reconcile(flow)).found) == {}
        # The end of the record is not the end of the other record's object.
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        assert await names(flow) == ["Eve"]
        assert system.objects[winner] is not None
        assert len(system.calls) == calls


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_chain_of_merges_leads_to_its_end(database_url: str, order: Any) -> None:
    async with merging(database_url) as (flow, system, record_id, first):
        second, third = [await unseen(system, name=name) for name in ("Two", "Three")]
        system.merge(first, second)
        system.merge(second, third)
        events = [*system.webhooks]
        system.webhooks.clear()
        for number in order:
            await flow.runtime.ingress.accept("fake", events[number], "test")
            await flow.settle()
        assert await live_object(flow, record_id) == third
        assert await names(flow) == ["Three"]


async def test_a_push_that_is_redirected_changes_no_record(database_url: str) -> None:
    """The update of a merged object lands in the object of another record."""
    async with merging(database_url) as (flow, system, record_id, external_id):
        winner = system.create(name="Eve", phone="9")
        await flow.deliver()
        system.redirects = True
        system.merge(external_id, winner)
        await edit(flow, record_id, email="a@example.com")
        record = await flow.record(record_id)
        assert (record["name"], record["phone"], record["email"]) == ("Ada", "1", "a@example.com")
        assert await links(flow, record_id) == [("deleted", winner)]
        (failed,) = await flow.rows(
            "SELECT attempts, status, reason FROM sync_events WHERE event_type = 'customer.updated'"
            " AND direction = 'outbound' AND entity_id = :id",
            id=record_id,
        )
        assert failed == {"attempts": 1, "status": "succeeded", "reason": "merged_into"}
        # The other record takes over the edit of its object, like any other.
        await flow.deliver()
        assert await names(flow) == ["Ada", "Eve"]


async def test_a_redirected_push_to_a_free_successor_counts(database_url: str) -> None:
    async with merging(database_url) as (flow, system, record_id, external_id):
        winner = await unseen(system, name="Ada", email="ada@example.com", phone="1")
        system.redirects = True
        system.merge(external_id, winner)
        system.webhooks.clear()
        await edit(flow, record_id, name="Ada L.")
        await flow.deliver()
        assert await live_object(flow, record_id) == winner
        assert (await names(flow), (system.objects[winner] or {})["name"]) == (["Ada L."], "Ada L.")
        assert len(system.pushes(IntentKind.UPDATE)) == 1


@pytest.mark.parametrize("point", ["outbound.failed", "outbound.called", "outbound.stored_answer"])
async def test_a_worker_that_dies_around_a_merge_leaves_it_to_another(
    database_url: str, point: str
) -> None:
    system = MergingSystem(redirects=True)
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        async with running_worker(flow.runtime):
            record_id = await flow.create()
            await flow.deliver()
        (external_id,) = system.objects
        winner = await unseen(system, name="Ada", email="ada@example.com")
        system.merge(external_id, winner)
        system.webhooks.clear()
        await flow.runtime.customers.patch(record_id, {"phone": "2"}, correlation_id="test")
        await replaced_when_killed(flow, system, point)
        assert await live_object(flow, record_id) == winner
        assert (system.objects[winner] or {})["phone"] == "2"
        assert len(system.pushes(IntentKind.CREATE)) == 1
        assert await flow.scalar("SELECT count(*) FROM push_intents WHERE state = 'sent'") == 0


async def test_a_successor_may_carry_the_records_id(database_url: str) -> None:
    async with merging(database_url) as (flow, system, record_id, external_id):
        winner = system.create(name="Ada L.", record_id=record_id)
        await flow.deliver()
        assert await names(flow) == ["Ada"]
        system.merge(external_id, winner)
        await flow.deliver()
        assert await live_object(flow, record_id) == winner
        assert await names(flow) == ["Ada L."]


async def test_a_merge_of_unknown_objects_makes_no_record(database_url: str) -> None:
    system = MergingSystem()
    async with open_flow(database_url, systems={"fake": system}) as flow:
        loser, winner = [await unseen(system, name=name) for name in ("Loser", "Winner")]
        system.merge(loser, winner)
        await flow.deliver()
        assert await names(flow) == []
        system.edit(winner, name="Winner 2")
        await flow.deliver()
        assert await names(flow) == ["Winner 2"]


async def test_an_undelete_makes_no_new_object_for_a_merged_one(database_url: str) -> None:
    async with merging(database_url) as (flow, system, record_id, external_id):
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        system.merge(external_id, await unseen(system, name="Eve"))
        system.webhooks.clear()
        undeleter = factory(flow).undeleter()
        (link,) = await undeleter.undelete("customer", record_id, Actor("ada", "a test"), "test")
        await flow.settle()
        assert link.state is LinkState.MERGED
        assert await names(flow) == ["Ada"]
        assert len(system.pushes(IntentKind.CREATE)) == 1


async def test_a_fetch_of_one_object_that_returns_another_is_a_bug(database_url: str) -> None:
    async with merging(database_url) as (flow, system, _, external_id):
        other = await unseen(system, name="Eve")
        system.shown = lambda _id, data: ExternalObject("customer", other, data)  # type: ignore[method-assign]
        invoker = flow.runtime.context.invoker
        with pytest.raises(CallFailed) as raised:
            await invoker.fetch("fake", "customer", external_id, seconds=5)
        failure = raised.value.failure
        assert (failure.kind, failure.code) == (FailureKind.BUG, "another_object")


@pytest.mark.parametrize(
    "wrong", [{"data": {}, "merged_into": "x2"}, {"data": None, "merged_into": "x1"}]
)
async def test_a_merge_needs_another_object_and_no_data(database_url: str, wrong: Any) -> None:
    async with open_flow(database_url, working=False) as flow:
        with pytest.raises(SchemaViolation):
            flow.runtime.context.translator.document(
                "fake", ExternalObject("customer", "x1", **wrong)
            )
