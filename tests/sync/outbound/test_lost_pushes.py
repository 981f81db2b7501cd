"""Every push without an answer ends, also after its worker died."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.drift import factory
from tests.support.fake import FakeError, fake_connection
from tests.support.flow import DEADLINE_SECONDS, Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar import FailureKind, IntentKind, Push
from zenskar.model.actor import Actor
from zenskar.sync.outbound.lost_pushes import LostPushes

OPEN = "SELECT count(*) FROM push_intents WHERE state IN ('sent', 'unknown')"
STATES = "SELECT state, resolved_at IS NOT NULL AS resolved FROM push_intents WHERE kind = 'update'"
DELAYED = "SELECT count(*) = 2 AND bool_and(available_at > now()) FROM outbox"
DETACHED = "SELECT detached FROM external_mappings"
AGE = "UPDATE push_intents SET created_at = created_at - interval '6 minutes'"
BY = Actor("ada", "a test")
NO_SCHEDULER = ("inbound", "outbound")


async def execute(flow: Flow, statement: str) -> None:
    async with flow.runtime.engine.begin() as db:
        await db.exec_driver_sql(statement)


async def patch(flow: Flow, record_id: str, phone: str) -> None:
    await flow.runtime.customers.patch(record_id, {"phone": phone}, correlation_id="test")


async def in_sync(flow: Flow, record_id: str) -> bool:
    (external,) = (await flow.runtime.customers.get(record_id))["external"]
    return bool(external["in_sync"])


async def synced(flow: Flow) -> str:
    """Make a customer whose webhook has come back."""
    async with running_worker(flow.runtime):
        record_id = await flow.create(phone="1")
        await flow.settle()
        await flow.deliver()
    return record_id


async def die_in_mid_call(flow: Flow, *, landed: bool) -> None:
    """Kill a worker while it waits for an answer, before or after the effect."""
    system, called, never = flow.systems["fake"], asyncio.Event(), asyncio.Event()

    async def hang(_push: Push) -> None:
        called.set()
        await never.wait()

    hook = "on_the_way_back" if landed else "on_the_way"
    setattr(system, hook, hang)
    victim = asyncio.create_task(flow.runtime.worker(NO_SCHEDULER).run(asyncio.Event()))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await called.wait()
    victim.cancel()
    await asyncio.gather(victim, return_exceptions=True)
    setattr(system, hook, None)


async def lose_first_update(flow: Flow, record_id: str) -> None:
    """Push 22, whose request is lost, then 33."""
    system = flow.systems["fake"]

    def fail(push: Push) -> None:
        if push.kind is IntentKind.UPDATE:
            system.before = lambda _push: None
            raise FakeError(FailureKind.UNKNOWN_OUTCOME)

    system.before = fail
    for phone in ("22", "33"):
        await patch(flow, record_id, phone)
        await flow.settle()
    system.webhooks.clear()


@pytest.mark.parametrize("message", ["kept", "lost"])
@pytest.mark.parametrize("landed", [True, False])
async def test_a_killed_workers_update_is_resolved(
    database_url: str, message: str, *, landed: bool
) -> None:
    """The push stayed `sent`, and the record permanently out of sync."""
    async with open_flow(database_url, working=False, probe_seconds=0.1) as flow:
        record_id = await synced(flow)
        await patch(flow, record_id, "22")
        await die_in_mid_call(flow, landed=landed)
        await execute(flow, "UPDATE push_intents SET lease_until = now() WHERE state = 'sent'")
        await execute(flow, "UPDATE outbox SET claimed_until = now()")
        if message == "lost":
            await execute(flow, "DELETE FROM outbox")
        async with running_worker(flow.runtime):
            await until(lambda: in_sync(flow, record_id))
            assert (await flow.record(record_id))["phone"] == "22"
            assert next(iter(flow.systems["fake"].objects.values()))["phone"] == "22"
            assert await flow.scalar("SELECT count(*) FROM push_intents WHERE state = 'sent'") == 0
            await execute(flow, AGE)
            await until(lambda: _none(flow, OPEN))
            assert await in_sync(flow, record_id)


async def test_who_starts_takes_over_also_without_a_scheduler(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await synced(flow)
        await patch(flow, record_id, "22")
        await die_in_mid_call(flow, landed=True)
        await execute(flow, "UPDATE push_intents SET lease_until = now() WHERE state = 'sent'")
        await execute(flow, "DELETE FROM outbox")
        async with running_worker(flow.runtime, *NO_SCHEDULER):
            await until(lambda: in_sync(flow, record_id))
        assert await flow.rows(STATES) == [{"state": "ended", "resolved": True}]


async def test_a_live_workers_push_is_left_alone(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await synced(flow)
        await patch(flow, record_id, "22")
        await die_in_mid_call(flow, landed=True)
        await LostPushes(flow.runtime.context).run()
        assert [row["state"] for row in await flow.rows(STATES)] == ["sent"]


async def test_within_the_lifetime_an_overridden_value_is_a_conflict(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system, record_id = flow.systems["fake"], await flow.create(phone="1")
        await flow.settle()
        await lose_first_update(flow, record_id)
        (external_id,) = system.objects
        system.edit(external_id, phone="22")
        await flow.deliver()
        assert (await flow.record(record_id))["phone"] == "33"
        conflicts = await conflicts_of(flow)
        assert [(c["external"], c["internal"], c["policy"]) for c in conflicts] == [
            ("22", "33", "own_push")
        ]


async def test_after_the_lifetime_the_edit_is_taken_over(database_url: str) -> None:
    async with open_flow(database_url, probe_seconds=0.1) as flow:
        system, record_id = flow.systems["fake"], await flow.create(phone="1")
        await flow.settle()
        await lose_first_update(flow, record_id)
        await execute(flow, AGE)
        await until(lambda: _none(flow, OPEN))
        await flow.settle()
        (external_id,) = system.objects
        system.edit(external_id, phone="22")
        await flow.deliver()
        assert (await flow.record(record_id))["phone"] == "22"
        assert await conflicts_of(flow) == []


async def test_a_request_that_arrives_late_is_not_an_edit(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        system, record_id = flow.systems["fake"], await flow.create(phone="1")
        await flow.settle()
        await lose_first_update(flow, record_id)
        (external_id,) = system.objects
        lost = system.pushes(IntentKind.UPDATE)[0].idempotency_key
        system.edit(external_id, key=lost, phone="22")
        await flow.deliver()
        assert (await flow.record(record_id))["phone"] == "33"
        assert system.objects[external_id]["phone"] == "33"


async def test_what_was_given_up_is_not_pushed_again_when_it_is_old(database_url: str) -> None:
    async with open_flow(database_url, probe_seconds=0.1) as flow:
        system, record_id = flow.systems["fake"], await flow.create(phone="1")
        await flow.settle()

        def fail(_push: Push) -> None:
            raise FakeError(FailureKind.BUG)

        system.before = fail
        await patch(flow, record_id, "22")
        await flow.settle()
        pushes = len(system.calls)
        await execute(flow, AGE)
        await until(lambda: _none(flow, OPEN))
        await flow.settle()
        assert len(system.calls) == pushes
        assert not await in_sync(flow, record_id)
        system.before = lambda _push: None
        await patch(flow, record_id, "33")
        await flow.settle()
        assert await in_sync(flow, record_id)


async def test_the_push_of_a_record_that_is_gone_ends(database_url: str) -> None:
    async with open_flow(database_url, working=False, probe_seconds=0.1) as flow:
        record_id = await synced(flow)
        await patch(flow, record_id, "22")
        await die_in_mid_call(flow, landed=False)
        await execute(flow, "UPDATE push_intents SET lease_until = now() WHERE state = 'sent'")
        await execute(flow, "DELETE FROM outbox")
        await execute(flow, "DELETE FROM customers")
        await LostPushes(flow.runtime.context).run()
        assert await flow.rows(STATES) == [{"state": "ended", "resolved": True}]


@pytest.mark.parametrize("repetition", ["replayed", "without an answer", "lost with its lease"])
async def test_a_push_that_was_answered_stays_so_whatever_comes_of_its_repetition(
    database_url: str, repetition: str
) -> None:
    """The simulation found this: a create stayed open, and the next create was looked up."""
    async with open_flow(database_url, working=False, probe_seconds=0.1) as flow:
        system, first, again = flow.systems["fake"], asyncio.Event(), asyncio.Event()

        async def hold(_push: Push) -> None:
            system.on_the_way_back = None
            system.on_the_way = hold_the_next
            await first.wait()

        async def hold_the_next(_push: Push) -> None:
            await again.wait()
            if repetition == "without an answer":
                raise FakeError(FailureKind.UNKNOWN_OUTCOME)

        system.on_the_way_back = hold
        async with running_worker(flow.runtime), running_worker(flow.runtime):
            await flow.create(name="Ada")
            await until(lambda: _many(system.calls, 1))
            await execute(flow, "UPDATE push_intents SET lease_until = now()")
            await execute(flow, "UPDATE outbox SET claimed_until = now()")
            await until(lambda: _many(system.calls, 2))
            first.set()
            await flow.until_scalar(
                "SELECT count(*) = 1 FROM push_intents WHERE state = 'answered'"
            )
            if repetition == "lost with its lease":
                await execute(flow, "UPDATE push_intents SET lease_until = now()")
                await LostPushes(flow.runtime.context).run()
            again.set()
            await flow.settle()
        assert await flow.rows("SELECT state FROM push_intents") == [{"state": "answered"}]
        assert len(system.objects) == 1


@pytest.mark.parametrize("again", [True, False])
async def test_a_create_ends_once_the_object_that_it_made_was_let_go_of(
    database_url: str, *, again: bool
) -> None:
    """A later create may have made another object, and is looked up first."""
    async with open_flow(database_url, working=False) as flow:
        await synced(flow)
        revision = "(SELECT revision FROM external_mappings)"
        await execute(flow, "UPDATE external_mappings SET state = 'deleted', detached = true")
        await execute(
            flow,
            f"UPDATE push_intents SET state = 'unknown', revision = {revision if again else 0}",
        )
        await execute(flow, AGE)
        await LostPushes(flow.runtime.context).run()
        assert await flow.scalar(OPEN) == again


async def conflicts_of(flow: Flow) -> list[dict[str, Any]]:
    rows = await flow.rows(
        "SELECT CAST(detail AS jsonb) -> 'conflicts' AS found FROM sync_event_history"
        " WHERE detail LIKE '%\"conflicts\"%'"
    )
    return [conflict for row in rows for conflict in row["found"]]


async def _none(flow: Flow, count: str) -> bool:
    return not await flow.scalar(count)


async def _many(items: list[Any], count: int) -> bool:
    return len(items) >= count


@dataclass
class LateCreate:
    """A create without an answer, whose record was deleted, and the find of its object."""

    flow: Flow
    push: Push
    may_answer: asyncio.Event

    async def arrive(self) -> None:
        """Create the object, as the late request does."""
        await fake_connection("fake", self.flow.systems["fake"]).push(self.push)


@asynccontextmanager
async def late_create(database_url: str, *, requests: int = 1) -> AsyncIterator[LateCreate]:
    """Yield while the answer of the find is on its way; only the last request can arrive."""
    called: asyncio.Future[Push] = asyncio.get_running_loop().create_future()
    asked, may_answer = asyncio.Event(), asyncio.Event()
    earlier = iter(range(requests - 1))
    async with open_flow(database_url) as flow:
        system = flow.systems["fake"]

        async def lose(push: Push) -> None:
            if next(earlier, None) is not None:
                await execute(flow, AGE)
                raise FakeError(FailureKind.UNKNOWN_OUTCOME)
            system.on_the_way = None
            await flow.runtime.customers.delete(push.record_id, correlation_id="test")
            called.set_result(push)
            raise FakeError(FailureKind.UNKNOWN_OUTCOME)

        async def wait(hook: str, _about: str | None) -> None:
            if hook == "find":
                asked.set()
                await may_answer.wait()

        system.on_the_way, system.reading = lose, wait
        await flow.create()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asked.wait()
        yield LateCreate(flow, await called, may_answer)


async def test_a_find_ends_no_create_of_a_record_that_returned(database_url: str) -> None:
    """A second create would make a second object, since the first request still arrives."""
    async with late_create(database_url) as late:
        flow, record_id = late.flow, late.push.record_id
        await factory(flow).undeleter().undelete("customer", record_id, BY, "undelete")
        await late.arrive()
        late.may_answer.set()
        await flow.settle()
        await flow.deliver()
        assert await in_sync(flow, record_id)
        assert len(flow.systems["fake"].objects) == 1


@pytest.mark.parametrize("requests", [1, 2])
async def test_a_find_is_repeated_while_the_create_may_arrive(
    database_url: str, requests: int
) -> None:
    """A second request may arrive, though the first one is too old."""
    async with late_create(database_url, requests=requests) as late:
        flow = late.flow
        late.may_answer.set()
        await flow.until_scalar(DELAYED)
        waiting = await flow.events("outbound")
        assert {event["status"] for event in waiting} == {"retrying"}
        assert all(event["next_attempt_at"] for event in waiting)
        assert await flow.scalar(OPEN) == 1
        await late.arrive()
        await execute(flow, "UPDATE outbox SET available_at = now()")
        await flow.settle()
        assert (await flow.scalar(OPEN), await flow.scalar(DETACHED)) == (0, True)


async def test_an_old_create_that_is_not_found_has_failed(database_url: str) -> None:
    async with late_create(database_url) as late:
        flow = late.flow
        late.may_answer.set()
        await flow.until_scalar(DELAYED)
        await execute(flow, AGE)
        await execute(flow, "UPDATE outbox SET available_at = now()")
        await flow.settle()
        assert await flow.scalar("SELECT state FROM push_intents") == "failed"
