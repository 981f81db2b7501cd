"""An event whose message is lost is sent again, and a waiting one is left alone."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.drift import execute, reconcile, synced
from tests.support.flow import Flow, open_flow, running_worker
from zenskar.db import connections
from zenskar.db.driver.engine import in_transaction
from zenskar.model.envelope import OUTBOUND
from zenskar.sync.maintenance import resend
from zenskar.sync.maintenance.resend import Resender

AGE = 300.0


async def age(flow: Flow, seconds: float = AGE + 1) -> None:
    """Age all unfinished events."""
    await execute(
        flow,
        "UPDATE sync_events SET updated_at = updated_at - make_interval(secs => :s),"
        " next_attempt_at = next_attempt_at - make_interval(secs => :s)"
        " WHERE status IN ('pending', 'processing', 'retrying')",
        s=seconds,
    )


async def run(flow: Flow, behind: int = 0) -> None:
    """Check the events once, from the end of the last run on."""

    async def waiting() -> Mapping[str, int]:
        return {OUTBOUND: behind}

    context = flow.runtime.context
    await execute(flow, "INSERT INTO schedules (name) VALUES ('resend') ON CONFLICT DO NOTHING")
    state = await flow.scalar("SELECT state FROM schedules WHERE name = 'resend'")
    await Resender(context, waiting, age_seconds=AGE).run(state)


async def waiting(flow: Flow) -> int:
    return int(await flow.scalar("SELECT count(*) FROM outbox"))


@pytest.mark.parametrize("status", ["pending", "processing", "retrying"])
async def test_what_was_lost_on_its_way_out_is_pushed(database_url: str, status: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id = await flow.create()
        await execute(flow, "DELETE FROM outbox")
        await execute(flow, "UPDATE sync_events SET status = :s", s=status)
        await run(flow)
        assert await waiting(flow) == 0
        await age(flow)
        await run(flow)
        assert await waiting(flow) == 1
        async with running_worker(flow.runtime):
            await flow.settle()
        assert (await flow.mapping(record_id))["state"] == "active"
        (event,) = await flow.events("outbound")
        assert event["status"] == "succeeded"


async def test_what_was_lost_on_its_way_in_is_applied(database_url: str) -> None:
    """An event that waited for its connection is kept with its message."""
    async with open_flow(database_url, delete_guard_limit=1) as flow:
        system = flow.systems["fake"]
        await in_transaction(
            flow.runtime.engine, lambda c: connections.pause(c, "fake", connections.DELETE_GUARD)
        )
        system.create(name="Grace")
        await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "c")
        await flow.until_scalar("SELECT count(*) FROM sync_events")
        await execute(flow, "DELETE FROM outbox")
        await in_transaction(flow.runtime.engine, lambda c: connections.resume(c, "fake"))
        await age(flow)
        await run(flow)
        await flow.settle()
        assert await flow.scalar("SELECT name FROM customers") == "Grace"


async def test_a_message_that_waits_is_not_doubled(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        await age(flow)
        await run(flow)
        assert await waiting(flow) == 1


async def test_an_event_that_waits_for_its_next_attempt_is_left_alone(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        await execute(flow, "DELETE FROM outbox")
        await age(flow)
        await execute(flow, "UPDATE sync_events SET next_attempt_at = now() + interval '1 h'")
        await run(flow)
        assert await waiting(flow) == 0


async def test_it_is_sent_once_in_a_while_not_with_every_run(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        await execute(flow, "DELETE FROM outbox")
        await age(flow)
        for _ in range(3):
            await run(flow)
            await execute(flow, "DELETE FROM outbox")
        (event,) = await flow.events("outbound")
        resent = "SELECT count(*) FROM sync_event_history WHERE detail LIKE '%resent%'"
        assert await flow.scalar(resent) == 1
        assert event["reason"] == "resent"


async def test_a_slow_backlog_is_not_flooded(database_url: str) -> None:
    """While many messages wait on the log, this one may be among them."""
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        await execute(flow, "DELETE FROM outbox")
        await age(flow)
        await run(flow, behind=resend._BACKLOG + 1)
        assert await waiting(flow) == 0
        await age(flow, AGE * resend._BACKLOG_FACTOR)
        await run(flow, behind=resend._BACKLOG + 1)
        assert await waiting(flow) == 1


async def test_runs_go_on_behind_what_they_have_seen(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lost event behind many waiting ones is found."""
    monkeypatch.setattr(resend, "_SCANNED", 2)
    async with open_flow(database_url, working=False) as flow:
        for number in range(5):
            await flow.create(name=f"Customer {number}")
        last = (await flow.events("outbound"))[-1]
        await execute(flow, "DELETE FROM outbox WHERE envelope LIKE :id", id=f"%{last['id']}%")
        await age(flow)
        found: list[Any] = []
        for _ in range(3):
            await run(flow)
            found.append(await waiting(flow))
        assert found == [4, 4, 5]
        assert await flow.scalar("SELECT state FROM schedules WHERE name = 'resend'") == {
            "pending": None,
            "processing": None,
            "retrying": None,
        }


async def test_what_cannot_be_made_again_ends(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create()
        await execute(flow, "DELETE FROM outbox")
        await execute(flow, "UPDATE sync_events SET direction = 'inbound', payload = NULL")
        await age(flow)
        await run(flow)
        (event,) = await flow.events("inbound")
        assert (event["status"], event["reason"]) == ("dead", "message_lost")


async def test_what_does_not_move_is_a_difference_and_is_mended(database_url: str) -> None:
    """The event counted as in progress forever, and every repair skipped it."""
    async with synced(database_url, 1) as (flow, system):
        record_id = await flow.create(name="Lost on the way")
        await execute(flow, "DELETE FROM outbox")
        report = await reconcile(flow)
        assert (report.found, report.under_way) == ({}, 1)
        await age(flow)
        report = await reconcile(flow)
        assert (report.found, report.under_way) == ({"missing_there": 1}, 0)
        # The scheduler may push the record at the same time, which would count as under way.
        async with running_worker(flow.runtime, "inbound", "outbound"):
            report = await reconcile(flow, repair=True)
        assert report.remaining == {}
        assert (await flow.mapping(record_id))["state"] == "active"
        assert len(system.objects) == 2


async def test_the_message_of_an_ended_event_does_not_hide_a_difference(database_url: str) -> None:
    """A message is acknowledged after the end of its event."""
    async with synced(database_url, 1) as (flow, _system):
        record_id = await flow.create(name="Lost on the way")
        await execute(flow, "DELETE FROM outbox")
        await age(flow)
        await flow.runtime.customers.patch(record_id, {"name": "Later"}, correlation_id="later")
        await execute(
            flow, "UPDATE sync_events SET status = 'succeeded' WHERE correlation_id = 'later'"
        )
        report = await reconcile(flow)
        assert (report.found, report.under_way) == ({"missing_there": 1}, 0)


async def test_a_look_that_was_lost_is_taken(database_url: str) -> None:
    """A late event of an unknown object causes a fetch first, which is a message of its own."""
    async with open_flow(database_url, working=False) as flow:
        external_id = flow.systems["fake"].create(name="Grace")
        flow.systems["fake"].shift(-86_400)
        await flow.runtime.ingress.accept("fake", flow.systems["fake"].webhooks.pop(), "c")
        async with running_worker(flow.runtime, "inbound"):
            await flow.until_scalar(
                "SELECT count(*) FROM sync_events WHERE event_type LIKE '%look'"
            )
        await execute(flow, "DELETE FROM outbox")
        await age(flow)
        await run(flow)
        async with running_worker(flow.runtime):
            await flow.settle()
        assert (await flow.scalar("SELECT external_id FROM external_mappings")) == external_id


async def test_what_waits_for_long_is_under_way(database_url: str) -> None:
    async with synced(database_url, 1) as (flow, _):
        await flow.create(name="Waits")
        await age(flow)
        report = await reconcile(flow)
        assert (report.found, report.under_way) == ({}, 1)
