"""A connection remembers which account it speaks to, and stops at another one."""

import pytest

from tests.support.drift import factory, names, reconcile
from tests.support.fake import FakeError
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar.db import connection_accounts, connections
from zenskar.errors import FailureKind, StateConflict


async def state(flow: Flow, name: str = "fake") -> connections.ConnectionState:
    async with flow.runtime.engine.connect() as db:
        return (await connections.states(db))[name]


async def accept(flow: Flow) -> None:
    async with flow.runtime.engine.begin() as db:
        await connection_accounts.accept(db, "fake")
        await connections.resume(db, "fake", "test")


async def linked(flow: Flow, account: str | None = "acct_1") -> str:
    """Make a record with an object, in an account that is remembered."""
    flow.systems["fake"].account = account
    async with running_worker(flow.runtime):
        record_id = await flow.create()
        await flow.settle()
    return record_id


async def test_the_first_account_is_remembered(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await linked(flow)
        assert (await state(flow)).account == "acct_1"


async def test_another_account_stops_the_connection_both_ways(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id, system = await linked(flow), flow.systems["fake"]
        mine, system.objects, system.account = system.objects, {}, "acct_2"
        pushed = len(system.calls)
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        system.create(name="A stranger")
        async with running_worker(flow.runtime):
            await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "test")
            await until(lambda: flow.scalar("SELECT count(*) = 2 FROM outbox WHERE parked"))
        stopped = await state(flow)
        assert (stopped.state, stopped.reason) == ("paused", "other_account")
        assert "acct_2" in (stopped.error_message or "")
        assert "--accept-account" in (stopped.error_message or "")
        assert (len(system.calls), await names(flow)) == (pushed, ["Eve"])
        system.objects, system.account = mine, "acct_1"
        async with running_worker(flow.runtime):
            await until(lambda: flow.scalar("SELECT count(*) = 0 FROM outbox"))
        assert (await state(flow)).state == "active"
        assert next(o and o["name"] for o in mine.values()) == "Eve"


async def test_another_account_that_is_meant_is_accepted(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await linked(flow)
        flow.systems["fake"].account = "acct_2"
        async with running_worker(flow.runtime):
            await until(lambda: flow.scalar("SELECT state = 'paused' FROM connections"))
        await accept(flow)
        async with running_worker(flow.runtime):
            await flow.create(name="Bob")
            await flow.settle()
        assert (await state(flow)).account == "acct_2"


async def test_an_account_that_cannot_be_read_is_not_compared(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id, system = await linked(flow), flow.systems["fake"]
        system.account = None
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        async with running_worker(flow.runtime):
            await flow.settle()
        assert (await state(flow)).account == "acct_1"
        assert [o and o["name"] for o in system.objects.values()] == ["Eve"]


async def test_nothing_is_sent_before_the_account_is_known(database_url: str) -> None:
    """An integration that cannot say it now is asked again before the first call."""
    async with open_flow(database_url, working=False) as flow:
        record_id, system = await linked(flow), flow.systems["fake"]
        asked = 0

        def away_at_first(hook: str, _about: str | None) -> None:
            nonlocal asked
            asked += hook == "account"
            if hook == "account" and asked <= 3:
                raise FakeError(FailureKind.TRANSIENT)

        system.reading, system.account = away_at_first, "acct_2"
        pushed = len(system.calls)
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        async with running_worker(flow.runtime):
            await until(lambda: flow.scalar("SELECT count(*) = 1 FROM outbox WHERE parked"))
        assert (asked > 3, len(system.calls)) == (True, pushed)


async def test_two_connections_to_one_account_are_refused(database_url: str) -> None:
    async with open_flow(database_url, "fake", working=False) as flow:
        await linked(flow)
    environment = {"ZENSKAR_CONNECTIONS": "fake=fake,second=fake"}
    async with open_flow(
        database_url, "fake", working=False, connections=environment["ZENSKAR_CONNECTIONS"]
    ) as flow:
        flow.systems["fake"].account = "acct_1"
        async with running_worker(flow.runtime):
            await until(
                lambda: flow.scalar("SELECT count(*) = 1 FROM connections WHERE state = 'paused'")
            )
        second = await state(flow, "second")
        assert second.reason == "same_account"
        assert "fake" in (second.error_message or "")
        assert (await state(flow)).state == "active"


async def test_a_walk_of_another_account_is_begun_anew(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        system = flow.systems["fake"]
        system.account, system.page_size = "acct_1", 1
        for number in range(3):
            system.create(name=f"Customer {number}")

        def break_off(hook: str, about: str | None) -> None:
            if hook == "list_page" and about == "2":
                raise FakeError(FailureKind.REJECTED)

        system.reading = break_off
        report = await reconcile(flow)
        assert report.problem is not None
        system.reading = lambda _hook, _about: None
        system.account = "acct_2"
        with pytest.raises(StateConflict, match="acct_1"):
            await reconcile(flow)
        await accept(flow)
        system.pages.clear()
        assert (await reconcile(flow)).objects == 3
        assert system.pages[0] is None


async def test_a_wrong_account_deletes_nothing_and_says_so(database_url: str) -> None:
    """The records are missing in an account whose name cannot be read: they are listed."""
    async with open_flow(database_url, working=False) as flow:
        await linked(flow, None)
        system = flow.systems["fake"]
        mine, system.objects = system.objects, {}
        system.create(name="Theirs")
        system.webhooks.clear()
        async with running_worker(flow.runtime):
            report = await reconcile(flow, repair=True)
            assert report.remaining["missing_there"] == 1
            assert len(await names(flow)) == 2
            system.objects = mine
            report = await reconcile(flow)
        assert "Ada" in await names(flow)
        assert report.remaining.get("missing_there") == 1


async def test_a_push_to_an_object_that_is_not_visible_ends_readable(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id, system = await linked(flow), flow.systems["fake"]
        del system.objects[next(iter(system.objects))]
        await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
        async with running_worker(flow.runtime):
            await flow.settle()
        event = (await flow.events("outbound"))[-1]
        assert (event["status"], event["error_kind"]) == ("dead", "not_visible")
        assert (await flow.record(record_id))["deleted_at"] is None


async def test_a_push_that_is_not_visible_in_another_account_waits(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        record_id, system = await linked(flow), flow.systems["fake"]
        async with running_worker(flow.runtime):
            await until(lambda: flow.scalar("SELECT count(*) = 0 FROM outbox"))
            system.objects, system.account = {}, "acct_2"
            await flow.runtime.customers.patch(record_id, {"name": "Eve"}, correlation_id="test")
            await until(lambda: flow.scalar("SELECT count(*) = 1 FROM outbox WHERE parked"))
        assert (await state(flow)).reason == "other_account"


async def test_backfill_asks_for_the_account_first(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await linked(flow)
        flow.systems["fake"].account = "acct_2"
        with pytest.raises(StateConflict, match="acct_2"):
            await factory(flow).backfiller(wait_seconds=10).run("fake", "customer")


async def test_a_walk_does_not_begin_while_the_account_is_not_told(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        await linked(flow)

        def away(hook: str, _about: str | None) -> None:
            if hook == "account":
                raise FakeError(FailureKind.TRANSIENT)

        flow.systems["fake"].reading = away
        report = await reconcile(flow)
        assert (report.complete, report.problem) == (False, "fake transient")
        intake = await factory(flow).backfiller(wait_seconds=10).run("fake", "customer")
        assert (intake.complete, intake.problem) == (False, "fake transient")
        assert flow.systems["fake"].pages == []
