"""Events that fail, messages that nobody can read, floods of deletes, and a forgotten pause."""

from playwright.async_api import Browser as Chromium

from tests.browser.chromium import watched
from tests.browser.faults.clicks import ClickingOperator, fault
from tests.ops.test_connections import ALIVE, flooded
from tests.support.console import open_console
from tests.support.fake import FakeError
from zenskar import FailureKind
from zenskar.db.driver.engine import in_transaction
from zenskar.model.actor import Actor
from zenskar.model.sync_event import Direction
from zenskar.ops import connections
from zenskar.sync.dead_letters import UnsentMessage
from zenskar.sync.quarantine import quarantine


def _refuse(_push: object) -> None:
    raise FakeError(FailureKind.REJECTED)


async def test_records_are_refused_a_message_is_unreadable_a_pause_is_forgotten(
    browser: Chromium, database_url: str
) -> None:
    async with (
        open_console(database_url, working=True, auth="off") as console,
        watched(browser, console.address) as page,
    ):
        flow = console.flow
        system, runtime = flow.systems["fake"], flow.runtime
        system.before = _refuse
        await flow.create()
        await flow.create(name="Grace")
        await flow.settle()
        system.before = lambda _push: None
        async with fault(page, "the external system refuses some records") as operator:
            await operator.follow("Dead letters of fake")
            await operator.sees_the_state("rejected", "fake rejected")
            done = await operator.act("Retry…", "Retry")
            assert done == "2 dead letters are processed again."
        await flow.settle()
        assert len(system.objects) == 2

        message = UnsentMessage("poison", b"no JSON")
        await quarantine(runtime.context, message, "no JSON", Direction.INBOUND)
        async with fault(page, "an unreadable message") as operator:
            await operator.follow("Messages that cannot be read")
            await operator.sees_the_state("no JSON")
            done = await operator.act("Discard…", "Discard")
            assert done == "1 dead letter is discarded."

        by = Actor("Grace", "10.0.0.7", "a deployment")
        await in_transaction(
            runtime.engine, lambda c: connections.pause(c, "fake", by, runtime.context.broadcaster)
        )
        async with fault(page, "a forgotten pause") as operator:
            await operator.sees("fake is paused", "changes wait until it is resumed")
            await operator.follow("fake is paused")
            await operator.sees_the_state("Grace", "10.0.0.7", "a deployment")
            assert await operator.act("Resume…", "Resume") == "fake is resumed."
        assert await flow.scalar("SELECT state FROM connections") == "active"


async def test_a_flood_of_deletes_is_dropped(browser: Chromium, database_url: str) -> None:
    settings = {"auth": "off", "delete_guard_limit": 2}
    async with (
        open_console(database_url, working=True, **settings) as console,
        watched(browser, console.address) as page,
    ):
        flow = console.flow
        system = await flooded(flow, 5)
        alive = await flow.scalar(ALIVE)
        for external_id in system.objects:
            system.objects[external_id] = {"name": "Alive"}
        async with fault(page, "a flood of deletes") as operator:
            await operator.sees("fake is paused", "its deletes and events wait for a decision")
            await operator.follow("fake is paused")
            await operator.sees_the_state(f"fake holds {alive} deletes")
            await operator.act("Drop…", "Drop")
            await operator.sees("done")
        await flow.settle()
        assert await flow.scalar(ALIVE) >= alive
        assert await flow.scalar("SELECT state FROM connections") == "active"


async def test_deletes_that_were_applied_by_mistake_are_undone(
    browser: Chromium, database_url: str
) -> None:
    settings = {"auth": "off", "delete_guard_limit": 2}
    async with (
        open_console(database_url, working=True, **settings) as console,
        watched(browser, console.address) as page,
    ):
        flow = console.flow
        await flooded(flow, 5)
        await page.open("/held-deletes")
        await ClickingOperator(page).act("Apply…", "Apply deletes and resume")
        await flow.settle()
        assert await flow.scalar(ALIVE) == 0
        record = await flow.scalar("SELECT CAST(max(CAST(id AS text)) AS text) FROM customers")
        async with fault(page, "held deletes were applied by mistake") as operator:
            await operator.follow("fake")
            await operator.sees_the_state("open", "for deletes received before")
            done = await operator.act("Close…", "Close guard")
            assert done == "The delete guard of fake is closed."
            await operator.follow("deleted records")
            await operator.follow(record)
            assert "The record is back." in await operator.act("Undelete…", "Undelete")
        assert await flow.scalar(ALIVE) == 1
