"""An event that names an object leads to one fetch of its present state."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.fake import FakeError, FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import DEADLINE_SECONDS, until
from zenskar import FailureKind
from zenskar.db.events.event_log import EventFilter
from zenskar.model.actor import Actor
from zenskar.ops.explain.explainer import explain
from zenskar.ops.replay import Replay

LOOKS = (
    "SELECT CAST(id AS text) AS id, status, reason, attempts, error_kind FROM sync_events"
    " WHERE event_type = 'customer.look' ORDER BY id"
)
NAMED = (
    "SELECT e.status, e.reason, h.detail::jsonb ->> 'look' AS look,"
    " CAST(e.entity_id AS text) AS record_id"
    " FROM sync_events AS e JOIN sync_event_history AS h ON h.event_id = e.id"
    " WHERE e.direction = 'inbound' AND h.status = 'succeeded' ORDER BY e.id"
)


@asynccontextmanager
async def thin(
    database_url: str, *, working: bool = True, batching: bool = False, **settings: Any
) -> AsyncIterator[tuple[Flow, FakeSystem]]:
    """A connection to a system whose webhooks name their objects only."""
    systems = {"fake": FakeSystem(thin=True, batching=batching)}
    async with open_flow(database_url, systems=systems, working=working, **settings) as flow:
        yield flow, systems["fake"]


async def receive(flow: Flow) -> None:
    """Pass every waiting webhook to the receiver, without a wait for workers."""
    waiting = flow.systems["fake"].webhooks
    while waiting:
        await flow.runtime.ingress.accept("fake", waiting.pop(0), "test")


async def apply_events(flow: Flow) -> None:
    """Apply the inbound messages, and begin no fetch."""
    async with running_worker(flow.runtime, "inbound"):
        await flow.until_scalar(
            "SELECT NOT EXISTS (SELECT FROM outbox WHERE topic LIKE '%.inbound')"
        )


async def fetch(flow: Flow) -> None:
    async with running_worker(flow.runtime, "outbound"):
        await flow.settle()


async def names(flow: Flow) -> list[str]:
    rows = await flow.rows("SELECT name FROM customers WHERE deleted_at IS NULL ORDER BY name")
    return [row["name"] for row in rows]


async def test_an_unknown_object_is_fetched_and_becomes_a_record(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        external_id = system.create(name="Grace")
        await flow.deliver()
        assert await names(flow) == ["Grace"]
        assert system.fetches == [external_id]
        ((look,), (named,)) = (await flow.rows(LOOKS), await flow.rows(NAMED))
        assert (named["status"], named["reason"], named["look"]) == (
            "succeeded",
            "touched",
            look["id"],
        )
        assert (look["status"], look["reason"]) == ("succeeded", "created")


async def test_a_known_object_is_fetched_and_its_record_follows(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        record_id = await flow.create()
        await flow.settle()
        await flow.deliver()
        (external_id,) = system.objects
        system.edit(external_id, name="Eve")
        await flow.deliver()
        assert await names(flow) == ["Eve"]
        assert (await flow.mapping(record_id))["external_id"] == external_id
        assert {row["record_id"] for row in await flow.rows(NAMED)} == {record_id}
        told = await explain(flow.runtime.engine, record_id)
        assert [step.verdict for step in told.steps].count("touched") == 2


async def test_events_that_wait_together_cost_one_fetch(database_url: str) -> None:
    async with thin(database_url, working=False) as (flow, system):
        external_id = system.create(name="Ada")
        for name in ("Eve", "Grace"):
            system.edit(external_id, name=name)
        await receive(flow)
        await apply_events(flow)
        system.edit(external_id, name="Joan")
        await receive(flow)
        await apply_events(flow)
        await fetch(flow)
        assert await names(flow) == ["Joan"]
        assert system.fetches == [external_id]
        (look,) = await flow.rows(LOOKS)
        assert [row["look"] for row in await flow.rows(NAMED)] == 4 * [look["id"]]


async def test_an_event_during_the_fetch_is_followed_by_another_fetch(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        asked, answer = asyncio.Event(), asyncio.Event()

        async def wait(hook: str, _about: str | None) -> None:
            if hook == "fetch":
                asked.set()
                await answer.wait()

        system.reading = wait
        external_id = system.create(name="Ada")
        await receive(flow)
        await asyncio.wait_for(asked.wait(), DEADLINE_SECONDS)
        system.edit(external_id, name="Eve")
        await receive(flow)
        await flow.until_scalar("SELECT count(*) = 2 FROM outbox WHERE topic = 'sync.outbound'")
        answer.set()
        await flow.settle()
        assert len(await flow.rows(LOOKS)) == 2
        assert system.fetches == [external_id, external_id]
        assert await names(flow) == ["Eve"]


async def test_a_slow_fetch_holds_up_no_event_of_another_object(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        answer = asyncio.Event()
        slow = system.create(name="Ada")

        async def wait(_hook: str, about: str | None) -> None:
            if about == slow:
                await answer.wait()

        system.reading = wait
        await receive(flow)
        await until(lambda: _true(slow in system.fetches))
        system.create(name="Eve")
        await receive(flow)
        await flow.until_scalar("SELECT count(*) = 1 FROM customers")
        assert await names(flow) == ["Eve"]
        answer.set()
        await flow.settle()
        assert await names(flow) == ["Ada", "Eve"]


async def _true(value: bool) -> bool:
    return value


async def test_only_a_proven_delete_deletes(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        hidden, deleted = system.create(name="Ada"), system.create(name="Eve")
        await flow.deliver()
        for external_id in (hidden, deleted):
            system.announce("updated", external_id)
        del system.objects[hidden]
        system.objects[deleted] = None
        await flow.deliver()
        assert await names(flow) == ["Ada"]
        ended = {(row["status"], row["reason"]) for row in await flow.rows(LOOKS)}
        assert ended == {
            ("succeeded", "created"),
            ("ignored", "not_visible"),
            ("succeeded", "deleted"),
        }


async def test_a_rate_limit_delays_the_fetch_without_an_attempt(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        left = iter((True,))

        def refuse(hook: str, _about: str | None) -> None:
            if hook == "fetch" and next(left, False):
                raise FakeError(FailureKind.RATE_LIMITED, retry_after=0.05)

        system.reading = refuse
        system.create(name="Ada")
        await flow.deliver()
        assert await names(flow) == ["Ada"]
        (look,) = await flow.rows(LOOKS)
        assert (look["status"], look["attempts"], len(system.fetches)) == ("succeeded", 0, 2)


async def test_a_refused_fetch_is_a_dead_letter_that_can_be_retried(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        system.reading = _failing(FailureKind.REJECTED)
        system.create(name="Ada")
        await flow.deliver()
        (look,) = await flow.rows(LOOKS)
        assert (look["status"], look["error_kind"]) == ("dead", "rejected")
        system.reading = lambda _hook, _about: None
        runtime = flow.runtime
        replay = Replay(runtime.engine, runtime.bus.wake, runtime.schemas["event"])
        assert await replay.retry(EventFilter(ids=(look["id"],)), Actor("me", "a test")) == 1
        await flow.settle()
        assert await names(flow) == ["Ada"]


async def test_refused_credentials_pause_the_connection(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        system.reading = _failing(FailureKind.CREDENTIALS)
        system.create(name="Ada")
        await receive(flow)
        await flow.until_scalar("SELECT state = 'paused' FROM connections WHERE name = 'fake'")
        (look,) = await flow.rows(LOOKS)
        assert look["status"] == "pending"


def _failing(kind: FailureKind) -> Any:
    def fail(hook: str, _about: str | None) -> None:
        if hook.startswith("fetch"):
            raise FakeError(kind)

    return fail


async def test_objects_that_wait_together_are_fetched_in_one_call(database_url: str) -> None:
    async with thin(database_url, working=False, batching=True) as (flow, system):
        ids = [system.create(name=f"Customer {n}") for n in range(5)]
        gone, hidden = system.create(name="Gone"), system.create(name="Hidden")
        await receive(flow)
        system.objects[gone] = None
        del system.objects[hidden]
        await apply_events(flow)
        await fetch(flow)
        assert await names(flow) == [f"Customer {n}" for n in range(5)]
        assert {each for batch in system.batches for each in batch} == {*ids, gone, hidden}
        assert len(system.batches) < len(ids)
        assert sorted(system.fetches) == sorted([gone, hidden])
        ended = [row["reason"] for row in await flow.rows(LOOKS)]
        assert sorted(ended) == 5 * ["created"] + ["deleted", "not_visible"]


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.REJECTED])
async def test_one_object_that_breaks_the_call_stops_no_other(
    database_url: str, kind: FailureKind
) -> None:
    settings = {"retry_max_attempts": 2}
    async with thin(database_url, working=False, batching=True, **settings) as (flow, system):
        ids = [system.create(name=f"Customer {n}") for n in range(3)]

        def fail(_hook: str, about: str | None) -> None:
            if about is not None and ids[1] in about.split():
                raise FakeError(kind)

        system.reading = fail
        await receive(flow)
        await apply_events(flow)
        await fetch(flow)
        assert await names(flow) == ["Customer 0", "Customer 2"]
        assert sorted(set(system.fetches)) == sorted(ids)
        assert [row["status"] for row in await flow.rows(LOOKS)] == [
            "succeeded",
            "dead",
            "succeeded",
        ]


async def test_two_workers_fetch_each_object_and_agree(database_url: str) -> None:
    async with thin(database_url) as (flow, system):
        async with open_flow(database_url, systems={"fake": system}):
            ids = [system.create(name=f"Customer {n}") for n in range(8)]
            await receive(flow)
            for number in range(24):
                system.edit(ids[number % 8], name=f"Edited {number}")
                await receive(flow)
            await flow.settle()
        assert sorted(await names(flow)) == sorted(f"Edited {n}" for n in range(16, 24))
        assert await flow.scalar("SELECT count(*) FROM customers") == 8
        unfinished = "SELECT count(*) FROM sync_events WHERE status NOT IN ('succeeded', 'ignored')"
        assert await flow.scalar(unfinished) == 0
