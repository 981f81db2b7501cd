"""The overview."""

from tests.support.console import open_console
from zenskar.db.connections import DELETE_GUARD
from zenskar.model.scope import Scope
from zenskar.model.sync_event import Direction
from zenskar.sync import announcements
from zenskar.sync.dead_letters import UnsentMessage
from zenskar.sync.quarantine import quarantine


async def test_a_working_system_has_no_concern(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        await console.flow.create()
        await console.flow.settle()
        await console.flow.until_scalar("SELECT count(*) FROM workers")
        async with console.browser(Scope.READ) as browser:
            page = await browser.page()
    assert "All parts work" in page
    assert "ada@example.com" not in page


async def test_a_pause_a_backlog_and_missing_workers_are_concerns(database_url: str) -> None:
    async with open_console(database_url) as console:
        flow = console.flow
        await flow.create()
        broadcaster = flow.runtime.context.broadcaster
        async with flow.runtime.engine.begin() as db:
            await announcements.pause(db, broadcaster, "fake", DELETE_GUARD)
        async with console.browser(Scope.READ) as browser:
            page = await browser.page()
    assert "2 need attention" in page
    assert "fake is paused" in page
    assert "/console/held-deletes?source=fake" in page
    assert "its deletes and events wait for a decision" in page
    assert 'href="/console/connections/fake#backlog">1</a>' in page
    assert "No worker runs" in page
    assert "1 events in the last hour" in page


async def test_unreadable_messages_are_a_concern(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        message = UnsentMessage("poison", b"no JSON")
        await quarantine(console.flow.runtime.context, message, "no JSON", Direction.INBOUND)
        async with console.browser(Scope.READ) as browser:
            page = await browser.page()
            assert "1 belongs to no connection" in page
            letters = await browser.page("/dead-letters?source=unreadable")
    assert "no JSON" in letters
