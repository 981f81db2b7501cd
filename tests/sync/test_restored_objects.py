"""A deleted object is restored there: its record returns with it, and with no old event."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.drift import names, reconcile
from tests.support.fake import FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.killed import replaced_when_killed
from zenskar import IntentKind
from zenskar.cli.render.explain_text import explanation_lines
from zenskar.ops.explain.explainer import explain


@asynccontextmanager
async def restoring(
    database_url: str, *others: str, **options: Any
) -> AsyncIterator[tuple[Flow, FakeSystem, str, str]]:
    """Yield a record with its object, in a system that may restore objects."""
    system = FakeSystem(restores=True)
    systems = {"fake": system, **{name: FakeSystem() for name in others}}
    async with open_flow(database_url, systems=systems, **options) as flow:
        record_id = await flow.create(phone="1")
        for name in systems:
            await flow.deliver(name)
        (external_id,) = system.objects
        yield flow, system, record_id, external_id


async def state(flow: Flow, record_id: str, source: str = "fake") -> list[str]:
    rows = await flow.rows(
        "SELECT state FROM external_mappings WHERE entity_id = :id AND source_system = :source"
        " ORDER BY state",
        id=record_id,
        source=source,
    )
    return [row["state"] for row in rows]


async def test_a_record_returns_with_its_object(database_url: str) -> None:
    async with restoring(database_url) as (flow, system, record_id, external_id):
        system.delete(external_id)
        await flow.deliver()
        assert await names(flow) == []
        late = list(system.webhooks)
        system.restore(external_id, name="Ada L.", phone="1", email="ada@example.com")
        await flow.deliver()
        record = await flow.record(record_id)
        assert (record["name"], record["deleted_at"]) == ("Ada L.", None)
        assert await state(flow, record_id) == ["active"]
        assert len(system.calls) == 1
        assert "restored" in {event["reason"] for event in await flow.events("outbound")}
        text = "\n".join(
            line.text
            for line in explanation_lines(await explain(flow.runtime.engine, record_id), 400)
        )
        assert "restored, the object was restored there" in text
        assert late == []
        # Sync goes on in both directions.
        await flow.runtime.customers.patch(record_id, {"phone": "2"}, correlation_id="test")
        await flow.settle()
        assert (system.objects[external_id] or {})["phone"] == "2"
        assert dict((await reconcile(flow)).found) == {}


async def test_no_old_event_revives_or_deletes_a_record(database_url: str) -> None:
    async with restoring(database_url) as (flow, system, record_id, external_id):
        data = system.objects[external_id] or {}
        system.edit(external_id, name="Old")
        old = system.webhooks.pop()
        system.delete(external_id)
        deleted = system.webhooks[-1]
        await flow.deliver()
        system.fetches.clear()
        system.webhooks.append(old)
        await flow.deliver()
        assert (await names(flow), system.fetches) == ([], [external_id])
        system.restore(external_id, **data)
        await flow.deliver()
        assert await names(flow) == ["Ada"]
        # The same delete, reported again under another id.
        system.objects[external_id] = None
        system.announce("deleted", external_id)
        system.objects[external_id] = data
        assert deleted != system.webhooks[-1]
        await flow.deliver()
        assert (await names(flow), await state(flow, record_id)) == (["Ada"], ["active"])
        system.delete(external_id)
        await flow.deliver()
        assert await names(flow) == []


@pytest.mark.parametrize("setting", ["undelete", "ignore"])
async def test_a_delete_here_stands(database_url: str, setting: str) -> None:
    environment = {"FAKE_ON_RESTORE": setting}
    options: dict[str, Any] = {"environment": environment, "propagate_deletes": True}
    async with restoring(database_url, **options) as (flow, system, record_id, external_id):
        data = system.objects[external_id] or {}
        if setting == "undelete":
            await flow.runtime.customers.delete(record_id, correlation_id="test")
            await flow.settle()
        else:
            system.delete(external_id)
        await flow.deliver()
        assert system.objects[external_id] is None
        system.restore(external_id, **data)
        await flow.deliver()
        assert (await names(flow), await state(flow, record_id)) == ([], ["deleted"])
        (event,) = (await flow.events("inbound"))[-1:]
        assert event["reason"] == "tombstone"


@pytest.mark.parametrize("propagate_deletes", [True, False])
async def test_other_connections_get_their_object_back_or_a_new_one(
    database_url: str, propagate_deletes: bool
) -> None:
    options = {"propagate_deletes": propagate_deletes}
    async with restoring(database_url, "other", **options) as (flow, system, record_id, mine):
        other = flow.systems["other"]
        (theirs,) = other.objects
        data = system.objects[mine] or {}
        system.delete(mine)
        await flow.deliver()
        await flow.deliver("other")
        assert (other.objects[theirs] is None) is propagate_deletes
        system.restore(mine, **data)
        await flow.deliver()
        await flow.deliver("other")
        assert await names(flow) == ["Ada"]
        living = [name for name, each in other.objects.items() if each is not None]
        assert (living == [theirs]) is not propagate_deletes
        assert len(living) == 1
        assert len(other.pushes(IntentKind.CREATE)) == 1 + propagate_deletes
        links = (await flow.runtime.customers.get(record_id))["external"]
        assert [(link["state"], link["in_sync"]) for link in links] == [("active", True)] * 2


@pytest.mark.parametrize("point", ["outbound.called", "outbound.stored_answer"])
async def test_a_worker_that_dies_around_a_restore_leaves_it_to_another(
    database_url: str, point: str
) -> None:
    system = FakeSystem(restores=True)
    async with open_flow(database_url, working=False, systems={"fake": system}) as flow:
        async with running_worker(flow.runtime):
            record_id = await flow.create()
            await flow.deliver()
            (external_id,) = system.objects
            data = system.objects[external_id] or {}
            system.delete(external_id)
            await flow.deliver()
        system.restore(external_id, **data)
        await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "test")
        await replaced_when_killed(flow, system, point)
        assert (await names(flow), await state(flow, record_id)) == (["Ada"], ["active"])
        assert len(system.calls) == 1


async def test_an_object_whose_delete_was_seen_first_becomes_a_record(database_url: str) -> None:
    system = FakeSystem(restores=True)
    async with open_flow(database_url, systems={"fake": system}) as flow:
        external_id = system.create(name="Eve")
        created = system.webhooks.pop()
        system.delete(external_id)
        await flow.deliver()
        system.webhooks.append(created)
        await flow.deliver()
        assert await names(flow) == []
        system.restore(external_id, name="Eve")
        await flow.deliver()
        assert await names(flow) == ["Eve"]
