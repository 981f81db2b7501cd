"""Records created while a connection was not configured are queued later."""

import pytest

from tests.support.drift import execute
from tests.support.flow import open_flow
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.model.record import IntentKind
from zenskar.sync.maintenance import catch_up
from zenskar.sync.maintenance.catch_up import CatchUp
from zenskar.sync.outbound.orphaned import Unowned

WEEK = 7 * 86_400.0


async def test_records_of_before_the_settings_are_pushed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "_SCANNED", 2)
    async with open_flow(database_url, "other", working=False) as flow:
        for number in range(5):
            await flow.create(name=f"Customer {number}")
        gone = await flow.create(name="Gone")
        await flow.runtime.customers.delete(gone, correlation_id="c")
    async with open_flow(database_url, "other", "fake") as flow:
        await flow.until_scalar(
            "SELECT count(*) = 5 FROM external_mappings WHERE source_system = 'fake'"
        )
        await flow.settle()
        assert len(flow.systems["other"].pushes(IntentKind.CREATE)) == 5
        assert len(flow.systems["fake"].pushes(IntentKind.CREATE)) == 5


async def test_a_record_that_was_queued_is_left_alone_whatever_became_of_it(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False) as flow:
        await flow.create(name="Waits")
        await flow.create(name="Discarded")
        await execute(
            flow,
            "UPDATE sync_events SET status = 'ignored' WHERE id ="
            " (SELECT id FROM sync_events ORDER BY id DESC LIMIT 1)",
        )
        await CatchUp(flow.runtime.context).run("fake", {})
        assert await flow.scalar("SELECT count(*) FROM sync_events") == 2


async def test_a_run_goes_on_where_records_are_settled(database_url: str) -> None:
    """A record whose transaction took long has a smaller id than one that was seen before."""
    async with open_flow(database_url, working=False) as flow:
        old = await flow.create(name="Old")
        await execute(flow, "UPDATE customers SET created_at = created_at - interval '1 h'")
        await flow.create(name="Young")
        await execute(flow, "DELETE FROM sync_events")
        await execute(flow, "INSERT INTO schedules (name) VALUES ('catch_up:fake')")
        await CatchUp(flow.runtime.context).run("fake", {})
        state = await flow.scalar("SELECT state FROM schedules WHERE name = 'catch_up:fake'")
        assert state == {"customer": old}
        assert await flow.scalar("SELECT count(*) FROM sync_events") == 2
        await CatchUp(flow.runtime.context).run("fake", state)
        assert await flow.scalar("SELECT count(*) FROM sync_events") == 2


async def test_work_without_a_connection_has_an_end_and_can_be_retried(database_url: str) -> None:
    async with open_flow(database_url, "gone", working=False) as flow:
        await flow.create(name="Ada")
        flow.systems["gone"].create(name="Grace")
        await flow.runtime.ingress.accept("gone", flow.systems["gone"].webhooks.pop(), "c")
    async with open_flow(database_url, "fake") as flow:
        await flow.until_scalar("SELECT count(*) = 2 FROM outbox WHERE parked")
        unowned = Unowned(flow.runtime.context, age_seconds=WEEK)
        await unowned.run({})
        assert not await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'")
        await execute(
            flow,
            "UPDATE sync_events SET updated_at = updated_at - interval '8 days'"
            " WHERE source_system = 'gone'",
        )
        await unowned.run({})
        dead = await flow.rows("SELECT * FROM sync_events WHERE status = 'dead' ORDER BY direction")
        assert [event["direction"] for event in dead] == ["inbound", "outbound"]
        for event in dead:
            assert event["reason"] == "no_connection"
            assert event["error_message"] == "no connection is called 'gone'"
            assert event["payload"]
        await execute(flow, "UPDATE outbox SET available_at = now(), parked = false")
        for topic in (INBOUND, OUTBOUND):
            flow.runtime.context.wake(topic)
        await flow.until_scalar("SELECT NOT EXISTS (SELECT FROM outbox)")
