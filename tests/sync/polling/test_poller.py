"""A feed is read from its checkpoint, which moves once the events are durable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.api import event
from tests.support.drift import execute, factory
from tests.support.fake import FakeError, FakeIntegration, FakeSystem
from tests.support.flow import Flow, open_flow, running_worker
from zenskar import (
    Changes,
    ExternalObject,
    FailureKind,
    Health,
    Interval,
    ObjectRef,
    WebhookEvent,
    WebhookRequest,
)
from zenskar.db import connections, polls, schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.db.events.event_log import EventFilter
from zenskar.errors import Unavailable
from zenskar.model.actor import Actor
from zenskar.ops.connections import statuses
from zenskar.sync.polling.poller import FeedPoller
from zenskar.sync.reconcile.reconcile_job import ReconcileJob

WAITING = "SELECT count(*) FROM outbox WHERE topic = 'sync.inbound'"
DUE_IN = (
    "SELECT CAST(extract(epoch FROM due_at - now()) AS double precision) FROM schedules"
    " WHERE name = 'poll:fake'"
)
WANTED = "SELECT (state -> 'wanted')::boolean FROM schedules WHERE name = 'compare:fake'"


class Died(Exception):
    """The process died at a failpoint."""


@asynccontextmanager
async def polled(database_url: str, **settings: Any) -> AsyncIterator[tuple[Flow, FakeSystem]]:
    """A connection whose feed is read when the test polls."""
    defaults = {"working": False, "sweep_seconds": 600.0}
    async with open_flow(database_url, **(defaults | settings)) as flow:
        yield flow, flow.systems["fake"]


async def poll(flow: Flow, poller: FeedPoller | None = None) -> None:
    """Poll as if the time had come."""
    name = polls.schedule("fake")
    await in_transaction(flow.runtime.engine, lambda c: schedules.hurry(c, name))
    state = await in_transaction(flow.runtime.engine, lambda c: schedules.take(c, name, 600.0))
    await (poller or factory(flow).feed_poller()).run("fake", state)


async def checkpoint(flow: Flow) -> str | None:
    query = "SELECT state ->> 'checkpoint' FROM schedules WHERE name = 'poll:fake'"
    found: str | None = await flow.scalar(query)
    return found


async def settled(flow: Flow) -> None:
    async with running_worker(flow.runtime, "inbound", "outbound"):
        await flow.settle()


async def names(flow: Flow) -> list[str]:
    rows = await flow.rows("SELECT name FROM customers WHERE deleted_at IS NULL ORDER BY name")
    return [row["name"] for row in rows]


def dying(flow: Flow, point: str) -> FeedPoller:
    """Return the poller of a process that dies at a failpoint."""

    async def die(passed: str) -> None:
        if passed == point:
            raise Died

    runtime = flow.runtime
    return FeedPoller(
        replace(runtime.context, failpoint=die),
        runtime.bus,
        runtime.schemas["event"],
        on_loss=ReconcileJob.request,
        timeout_seconds=5.0,
    )


async def test_the_scheduler_reads_a_feed_to_its_end(database_url: str) -> None:
    async with open_flow(database_url, sweep_seconds=0.05) as flow:
        system = flow.systems["fake"]
        system.page_size = 2
        for number in range(5):
            system.report(system.create(name=f"Customer {number}"), f"chg_{number}")
        await flow.until_scalar("SELECT count(*) = 5 FROM customers")
        assert await names(flow) == [f"Customer {n}" for n in range(5)]
        assert system.polls[:3] == [None, "2", "4"]


async def test_a_state_is_as_it_was_during_the_call(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        external_id = system.create(name="Ada")
        system.report(external_id)
        await poll(flow)
        await settled(flow)
        # The first poll was an hour ago.
        older = "asof_low = asof_low - 3600000000, asof_high = asof_high - 3600000000"
        await execute(flow, f"UPDATE external_mappings SET {older}")
        system.edit(external_id, name="Eve")
        system.report(external_id)
        await poll(flow)
        await settled(flow)
        assert await names(flow) == ["Eve"]
        first, second = await flow.events("inbound")
        assert (first["reason"], second["reason"]) == ("created", "merged")


async def test_an_old_state_is_fetched_before_it_counts(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        external_id = system.create(name="Eve")
        old = ExternalObject("customer", external_id, {"name": "Ada"})
        system.feed.append(WebhookEvent("chg_1", "changed", Interval.of_second(1_700_000_000), old))
        await poll(flow)
        await settled(flow)
        assert (await names(flow), system.fetches) == (["Eve"], [external_id])


async def test_an_event_may_name_its_object(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        external_id = system.create(name="Ada")
        touched = ObjectRef("customer", external_id)
        for name in ("chg_1", None, "chg_3"):
            system.feed.append(WebhookEvent(name, "changed", touched=touched))
        await poll(flow)
        await settled(flow)
        assert (await names(flow), system.fetches) == (["Ada"], [external_id])
        assert len(await flow.events("inbound")) == 3


async def test_a_known_event_that_is_read_again_has_no_effect(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        external_id = system.create(name="Ada")
        dated = WebhookEvent(None, "changed", Interval.of_second(1_700_000_000))
        system.feed += [
            replace(dated, seen=system.shown(external_id, system.objects[external_id])),
            WebhookEvent("chg_1", "changed", touched=ObjectRef("customer", external_id)),
        ]
        await poll(flow)
        await settled(flow)
        await execute(flow, "UPDATE schedules SET state = '{}' WHERE name = 'poll:fake'")
        await poll(flow)
        assert await flow.scalar(WAITING) == 2
        await settled(flow)
        assert len(await flow.events("inbound")) == 2


async def test_a_poll_continues_after_the_last_page_that_was_stored(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        system.page_size = 1
        for number in range(2):
            system.report(system.create(name=f"Customer {number}"), f"chg_{number}")

        def break_off(hook: str, about: str | None) -> None:
            if (hook, about) == ("changes", "1"):
                raise FakeError(FailureKind.TRANSIENT)

        system.reading = break_off
        await poll(flow)
        assert (await checkpoint(flow), await flow.scalar(WAITING)) == ("1", 1)
        states = await in_transaction(flow.runtime.engine, polls.read)
        assert (states["fake"].polled_at, states["fake"].failures) == (None, 1)
        assert await flow.scalar(DUE_IN) < 1
        system.reading = lambda _hook, _about: None
        await poll(flow)
        assert (await checkpoint(flow), await flow.scalar(WAITING)) == ("2", 2)
        assert system.polls == [None, "1", "1"]
        states = await in_transaction(flow.runtime.engine, polls.read)
        assert states["fake"].failures == 0
        (shown,) = await in_transaction(flow.runtime.engine, lambda c: statuses(c, ("fake",)))
        assert shown.polled_at == states["fake"].polled_at is not None


async def test_a_killed_poll_reads_the_events_again(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        system.report(system.create(name="Ada"), "chg_1")
        with pytest.raises(Died):
            await poll(flow, dying(flow, "poll.published"))
        assert (await checkpoint(flow), await flow.scalar(WAITING)) == (None, 1)
        await poll(flow)
        assert (await checkpoint(flow), await flow.scalar(WAITING)) == ("1", 2)
        await settled(flow)
        assert (await names(flow), len(await flow.events("inbound"))) == (["Ada"], 1)


async def test_no_checkpoint_is_stored_while_the_bus_is_away(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with polled(database_url) as (flow, system):
        system.report(system.create(name="Ada"), "chg_1")

        async def refuse(_messages: object) -> None:
            raise Unavailable("no bus")

        with monkeypatch.context() as broken:
            broken.setattr(flow.runtime.bus, "publish", refuse)
            with pytest.raises(Unavailable):
                await poll(flow)
        assert await checkpoint(flow) is None
        await poll(flow)
        assert (await checkpoint(flow), await flow.scalar(WAITING)) == ("1", 1)


async def test_one_process_at_a_time_moves_a_checkpoint(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        system.page_size = 1
        system.report(system.create(name="Ada"), "chg_1")
        asked, answer = asyncio.Event(), asyncio.Event()

        async def wait(hook: str, _about: str | None) -> None:
            if hook == "changes" and len(system.polls) == 1:
                asked.set()
                await answer.wait()

        system.reading = wait
        slow = asyncio.create_task(poll(flow))
        await asyncio.wait_for(asked.wait(), 20)
        due = await in_transaction(
            flow.runtime.engine, lambda c: schedules.take(c, "poll:fake", 600.0)
        )
        assert due is None
        # The slow process seems to be dead.
        await poll(flow)
        system.report(system.create(name="Eve"), "chg_2")
        await poll(flow)
        assert await checkpoint(flow) == "2"
        answer.set()
        await slow
        assert await checkpoint(flow) == "2"
        assert system.polls == [None, None, "1"]


async def test_a_loss_starts_a_reconcile_and_the_feed_goes_on(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        system.lost = True
        system.report(system.create(name="Ada"), "chg_1")
        await poll(flow)
        assert (await checkpoint(flow), await flow.scalar(WANTED)) == ("1", True)
        await execute(flow, "UPDATE schedules SET state = '{}' WHERE name = 'compare:fake'")
        await poll(flow)
        assert await flow.scalar(WANTED) is None


async def test_the_objects_of_lost_events_are_found(database_url: str) -> None:
    settings = {"sweep_seconds": 0.1, "probe_seconds": 0.1}
    async with open_flow(database_url, **settings) as flow:
        system = flow.systems["fake"]
        system.create(name="Ada")
        system.webhooks.clear()
        system.lost = True
        await flow.until_scalar("SELECT count(*) = 1 FROM customers")
        assert await names(flow) == ["Ada"]


async def test_an_event_that_cannot_be_read_is_kept_once_and_stops_no_other(
    database_url: str,
) -> None:
    async with polled(database_url) as (flow, system):
        bad = ExternalObject("customer", "x", {"name": ["Ada"]})
        system.feed += [WebhookEvent(name, "changed", seen=bad) for name in (None, "chg_1")]
        system.report(system.create(name="Eve"), "chg_2")
        for _ in range(2):
            await poll(flow)
            await execute(flow, "UPDATE schedules SET state = '{}' WHERE name = 'poll:fake'")
        await settled(flow)
        assert await names(flow) == ["Eve"]
        letters = [each for each in await flow.events("inbound") if each["status"] == "dead"]
        assert len(letters) == 2
        assert {each["reason"] for each in letters} == {"invalid_object"}


DEEP: Any = []
for _ in range(70):
    DEEP = [DEEP]
UNREAD: dict[str, Any] = {
    "no id": {"type": "customer.created", "at": 1, "object": {"id": "x"}},
    "no object": {"id": "evt_x", "type": "customer.created", "at": 1, "key": None},
    "no object at all": None,
    "too deep": DEEP,
    "no JSON": {"id": "evt_x", "at": {1, 2}},
}


@pytest.mark.parametrize("body", UNREAD.values(), ids=UNREAD)
async def test_a_listed_body_that_cannot_be_read_is_kept_once_and_stops_no_other(
    database_url: str, body: Any
) -> None:
    async with polled(database_url) as (flow, system):
        system.bodies = [event("evt_1", id="a"), body, event("evt_2", "customer.seen")]
        for _ in range(2):
            await poll(flow)
        await settled(flow)
        assert await names(flow) == ["Ada"]
        found = await flow.events("inbound")
        assert sum(each["external_event_id"] == "evt_1" for each in found) == 1
        (letter,) = [each for each in found if each["external_event_id"] != "evt_1"]
        assert (letter["status"], letter["reason"]) == ("dead", "invalid_webhook")
        assert letter["error_message"]


async def test_a_listed_body_can_be_read_again_by_a_mended_integration(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, broken = FakeIntegration.parse_webhook, [True]

    def parse(self: FakeIntegration, request: WebhookRequest, body: Any) -> Any:
        return body["nothing"] if broken else works(self, request, body)

    monkeypatch.setattr(FakeIntegration, "parse_webhook", parse)
    async with polled(database_url) as (flow, system):
        system.bodies = [event("evt_1", id="a")]
        await poll(flow)
        assert await names(flow) == []
        broken.clear()
        (letter,) = await flow.events("inbound")
        wanted = EventFilter(ids=(str(letter["id"]),))
        assert await flow.runtime.replay.retry(wanted, Actor("Ada", "a test")) == 1
        await settled(flow)
        assert await names(flow) == ["Ada"]


async def test_a_paused_connection_is_not_polled_and_soon_after_the_pause(
    database_url: str,
) -> None:
    async with polled(database_url) as (flow, system):
        engine = flow.runtime.engine
        await in_transaction(engine, lambda c: connections.pause(c, "fake", "an operator"))
        await poll(flow)
        assert system.polls == []
        assert 0 < await flow.scalar(DUE_IN) <= 15
        await in_transaction(engine, lambda c: connections.resume(c, "fake"))
        await poll(flow)
        assert system.polls == [None]
        assert 590 < await flow.scalar(DUE_IN) <= 600


async def test_a_pause_ends_a_poll_between_two_calls(database_url: str) -> None:
    async with polled(database_url) as (flow, system):
        engine = flow.runtime.engine
        system.page_size = 1
        for number in range(3):
            system.report(system.create(name=f"Customer {number}"), f"chg_{number}")

        async def pause(hook: str, about: str | None) -> None:
            if (hook, about) == ("changes", "1"):
                await in_transaction(engine, lambda c: connections.pause(c, "fake", "an operator"))

        system.reading = pause
        await poll(flow)
        assert (system.polls, await checkpoint(flow)) == ([None, "1"], "2")
        await in_transaction(engine, lambda c: connections.resume(c, "fake"))
        await poll(flow)
        assert (system.polls, await checkpoint(flow)) == ([None, "1", "2"], "3")


@pytest.mark.parametrize("healthy", [True, False])
async def test_refused_credentials_pause_the_connection_if_no_call_is_allowed(
    database_url: str, healthy: bool
) -> None:
    async with polled(database_url) as (flow, system):
        system.health = Health(ok=healthy)

        def refuse(hook: str, _about: str | None) -> None:
            if hook == "changes":
                raise FakeError(FailureKind.CREDENTIALS)

        system.reading = refuse
        await poll(flow)
        states = await in_transaction(flow.runtime.engine, connections.states)
        fake = states["fake"]
        assert (fake.error_kind, fake.paused) == ("credentials", not healthy)
        assert fake.reason == (None if healthy else "credentials")
        assert await flow.scalar(DUE_IN) > 590


async def test_a_feed_that_leads_in_a_circle_ends(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    async def changes(_: FakeIntegration, checkpoint: str | None) -> Changes:
        calls.append(checkpoint)
        return Changes((), "b" if checkpoint == "a" else "a", more=True)

    monkeypatch.setattr(FakeIntegration, "changes", changes)
    async with polled(database_url) as (flow, _):
        await poll(flow)
        assert len(calls) < 8
        states = await in_transaction(flow.runtime.engine, connections.states)
        assert states["fake"].error_kind == "bug"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Changes((), "same", more=True),
        Changes((), "nul\0"),
        Changes(({"id": "chg_1"},), "next"),  # type: ignore[arg-type]
        Changes((), None),  # type: ignore[arg-type]
        Changes((), "x" * 200_000),
        Changes((), "next", bodies={"id": 1}),  # type: ignore[arg-type]
    ],
)
async def test_a_result_that_cannot_be_continued_is_a_bug(
    database_url: str, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    async with polled(database_url) as (flow, _):

        async def changes(*_: object, **__: object) -> Any:
            return answer

        monkeypatch.setattr(FakeIntegration, "changes", changes)
        await execute(
            flow,
            "INSERT INTO schedules (name, state) VALUES ('poll:fake', CAST(:state AS jsonb))",
            state={"checkpoint": "same"},
        )
        await poll(flow)
        assert await checkpoint(flow) == "same"
        states = await in_transaction(flow.runtime.engine, connections.states)
        assert states["fake"].error_kind == "bug"


@pytest.mark.parametrize(
    ("own", "declared", "seconds"),
    [("7", 60.0, 7.0), (None, 60.0, 60.0), (None, None, 300.0)],
)
async def test_the_interval_of_a_connection(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    own: str | None,
    declared: float | None,
    seconds: float,
) -> None:
    every = None if declared is None else timedelta(seconds=declared)
    monkeypatch.setattr(FakeIntegration, "poll_every", every)
    environment = {"FAKE_POLL_SECONDS": own} if own else {}
    async with open_flow(database_url, working=False, environment=environment) as flow:
        assert flow.runtime.connections["fake"].poll_seconds == seconds
        assert flow.runtime.settings.poll_seconds == 0.2
