"""A deleted record comes back, and is linked again where its object lives."""

import asyncio
from typing import Any

import pytest

from tests.support.drift import execute, factory, names, reconcile
from tests.support.flow import DEADLINE_SECONDS, Flow, open_flow
from zenskar import Push
from zenskar.errors import NotFound, StateConflict
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.ops.explain.explainer import explain
from zenskar.ops.undelete import LinkState, RestoredLink, Undeleter

BY = Actor("ada", "a test")


async def undelete(flow: Flow, record_id: str) -> list[RestoredLink]:
    links = await factory(flow).undeleter().undelete("customer", record_id, BY, "undelete")
    await flow.settle()
    return links


async def deleted_wrongly(flow: Flow) -> tuple[str, str]:
    """Delete a record by a webhook although its object lives."""
    record_id = await flow.create(name="Ada")
    await flow.deliver()
    system = flow.systems["fake"]
    external_id = next(iter(system.objects))
    system.announce("deleted", external_id)
    await flow.deliver()
    assert await names(flow) == []
    return record_id, external_id


async def test_a_record_and_its_link_come_back(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id, external_id = await deleted_wrongly(flow)
        system = flow.systems["fake"]
        system.edit(external_id, phone="+91 1")
        system.webhooks.clear()
        pushes = len(system.calls)
        assert await undelete(flow, record_id) == [
            RestoredLink("fake", external_id, LinkState.LINKED)
        ]
        record = await flow.record(record_id)
        assert (record["deleted_at"], record["name"], record["phone"]) == (None, "Ada", "+91 1")
        assert (await flow.mapping(record_id))["state"] == "active"
        assert len(system.calls) == pushes
        # Sync both ways again.
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        await flow.settle()
        await flow.deliver()
        system.edit(external_id, email="eve@example.com")
        await flow.deliver()
        assert (await flow.record(record_id))["email"] == "eve@example.com"
        assert (system.objects[external_id] or {})["name"] == "Eve"
        assert dict((await reconcile(flow)).found) == {}
        history = "SELECT detail FROM sync_event_history WHERE detail LIKE '%a test%'"
        assert len(await flow.rows(history)) == 1


@pytest.mark.parametrize(
    ("policy", "winner", "phone"),
    [("internal_wins", "internal", "+91 here"), ("external_wins", "external", "+91 there")],
)
async def test_a_conflict_with_the_living_object_is_recorded(
    database_url: str, policy: str, winner: str, phone: str
) -> None:
    async with open_flow(database_url, conflict_policy=policy) as flow:
        record_id, external_id = await deleted_wrongly(flow)
        system = flow.systems["fake"]
        system.edit(external_id, phone="+91 there", email="there@example.com")
        system.webhooks.clear()
        # The edit of the record was not pushed before the delete.
        await execute(flow, "UPDATE customers SET phone = '+91 here'")
        await undelete(flow, record_id)
        assert ((await flow.record(record_id))["phone"], system.objects[external_id]["phone"]) == (
            phone,
            phone,
        )
        timeline = await explain(flow.runtime.engine, record_id)
        (step,) = [one for one in timeline.steps if one.conflicts]
        (conflict,) = step.conflicts
        assert (conflict.path, conflict.winner) == ("/phone", winner)
        assert (conflict.internal, conflict.external) == ("+91 here", "+91 there")
        assert {"/email"} <= {change.path for change in step.changes}
        assert timeline.missing_versions == ()
        reason = "SELECT reason FROM sync_events WHERE event_type = 'customer.undeleted'"
        assert await flow.scalar(reason) == "conflict"


async def test_an_object_that_is_proven_deleted_gets_a_successor(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id, external_id = await deleted_wrongly(flow)
        system = flow.systems["fake"]
        system.objects[external_id] = None
        assert await undelete(flow, record_id) == [
            RestoredLink("fake", external_id, LinkState.RECREATED)
        ]
        assert await names(flow) == ["Ada"]
        (living,) = [one for one in system.objects.values() if one is not None]
        assert living["name"] == "Ada"
        await flow.deliver()
        assert dict((await reconcile(flow)).found) == {}


async def test_an_object_that_is_not_visible_is_left_alone(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id, external_id = await deleted_wrongly(flow)
        system = flow.systems["fake"]
        mine = system.objects.pop(external_id)
        assert await undelete(flow, record_id) == [
            RestoredLink("fake", external_id, LinkState.NOT_VISIBLE)
        ]
        assert (await names(flow), system.objects) == (["Ada"], {})
        await execute(flow, "UPDATE customers SET deleted_at = now()")
        system.objects[external_id] = mine
        assert (await undelete(flow, record_id))[0].state is LinkState.LINKED


async def test_a_record_that_was_deleted_here_gets_its_detached_object_back(
    database_url: str,
) -> None:
    async with open_flow(database_url, "fake", "other") as flow:
        record_id = await flow.create(name="Ada")
        await flow.deliver()
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        await flow.settle()
        links = await undelete(flow, record_id)
        assert [link.state for link in links] == [LinkState.LINKED] * 2
        states = await flow.rows("SELECT state, detached FROM external_mappings")
        assert states == [{"state": "active", "detached": False}] * 2


async def test_what_is_not_deleted_is_refused(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        record_id = await flow.create(name="Ada")
        with pytest.raises(StateConflict, match="not deleted"):
            await undelete(flow, record_id)
        with pytest.raises(NotFound):
            await undelete(flow, new_id())


async def test_an_object_whose_create_is_answered_meanwhile_is_not_doubled(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The undelete knew of no object, so the record got another one."""
    async with open_flow(database_url, propagate_deletes=False) as flow:
        system, may_answer = flow.systems["fake"], asyncio.Event()
        called: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def wait(push: Push) -> None:
            system.on_the_way_back = None
            called.set_result(push.record_id)
            await may_answer.wait()

        system.on_the_way_back = wait
        await flow.create(name="Ada")
        async with asyncio.timeout(DEADLINE_SECONDS):
            record_id = await called
        await flow.runtime.customers.delete(record_id, correlation_id="test")
        read = Undeleter._last_mapping

        async def answered_meanwhile(*about: Any) -> Any:
            found = await read(*about)
            may_answer.set()
            await flow.settle()
            return found

        with monkeypatch.context() as patched:
            patched.setattr(Undeleter, "_last_mapping", answered_meanwhile)
            with pytest.raises(StateConflict, match="try again"):
                await undelete(flow, record_id)
        (link,) = await undelete(flow, record_id)
        assert link.state is LinkState.LINKED
        assert len(system.objects) == 1
