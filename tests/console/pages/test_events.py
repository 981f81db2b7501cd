"""The pages and the actions of sync events."""

from tests.support.console import OpenConsole, open_console
from tests.support.fake import FakeError
from zenskar import FailureKind
from zenskar.model.scope import Scope


async def dead_event(console: OpenConsole, name: str = "Ada") -> str:
    """Create a record whose push is refused, and return the dead event."""

    def refuse(_push: object) -> None:
        raise FakeError(FailureKind.REJECTED)

    console.flow.systems["fake"].before = refuse
    await console.flow.create(name=name)
    await console.flow.settle()
    console.flow.systems["fake"].before = lambda _push: None
    return str(await console.flow.scalar("SELECT max(CAST(id AS text)) FROM sync_events"))


async def test_events_are_filtered_by_the_address(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        await console.flow.create(name="Grace")
        await console.flow.settle()
        event_id = await dead_event(console)
        async with console.browser(Scope.READ) as browser:
            every = await browser.page("/events")
            assert "2 events" in every
            dead = await browser.page("/events?status=dead&source=fake&direction=outbound")
            assert "1 event" in dead
            assert event_id in dead
            assert "No event matches" in await browser.page("/events?source=other")
            await browser.page("/events?status=dance", 400)
            await browser.page("/events?record=x", 400)
            await browser.page("/events?since=yesterday", 400)
            assert "ada@example.com" not in every + dead


async def test_an_event_shows_its_history_and_a_retry_ends_it(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        event_id = await dead_event(console, "Secret name")
        async with console.browser(Scope.READ) as browser:
            page = await browser.page(f"/events/{event_id}")
            assert "rejected" in page
            assert "Secret name" not in page
            await browser.page(f"/events/{event_id}/retry", 403)
            await browser.page("/events/x", 404)
        async with console.browser(Scope.WRITE) as browser:
            assert "processed again" in await browser.act(f"/events/{event_id}/retry")
            await console.flow.settle()
            assert "succeeded" in await browser.page(f"/events/{event_id}")
            refused = await browser.act(f"/events/{event_id}/retry", status=409)
            assert "not failed any more" in refused
            await browser.page(f"/events/{event_id}/reveal", 403)
        actions = await console.flow.rows("SELECT action, reason, by FROM operator_actions")
        assert [(each["action"], each["reason"]) for each in actions] == [("retry", "a test")]
        assert actions[0]["by"].startswith("API key ")


async def test_values_are_shown_to_an_admin_who_gives_a_reason(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        console.flow.systems["fake"].create(name="Secret name")
        await console.flow.deliver()
        event_id = await console.flow.scalar("SELECT CAST(id AS text) FROM sync_events LIMIT 1")
        async with console.browser(Scope.ADMIN) as browser:
            assert "Secret name" not in await browser.page(f"/events/{event_id}")
            shown = await browser.act(f"/events/{event_id}/reveal", reason="INC-42")
            assert "Secret name" in shown
            again = await browser.page(f"/events/{event_id}")
            assert "Secret name" not in again
            assert "revealed" in again
        (action,) = await console.flow.rows("SELECT action, target, reason FROM operator_actions")
        assert action == {"action": "reveal", "target": event_id, "reason": "INC-42"}


async def test_a_lost_message_is_sent_again_and_a_dead_letter_discarded(database_url: str) -> None:
    async with open_console(database_url) as console:
        await console.flow.create(name="Grace")
        async with console.flow.runtime.engine.connect() as db:
            await db.exec_driver_sql("DELETE FROM outbox")
        event_id = await console.flow.scalar("SELECT CAST(id AS text) FROM sync_events")
        async with console.browser(Scope.ADMIN) as browser:
            await browser.act(f"/events/{event_id}/resend")
            assert await console.flow.scalar("SELECT count(*) FROM outbox") == 1
            await browser.act(f"/events/{event_id}/resend")
            assert await console.flow.scalar("SELECT count(*) FROM outbox") == 1
            await browser.act(f"/events/{event_id}/discard", status=409)
            async with console.flow.runtime.engine.connect() as db:
                await db.exec_driver_sql("UPDATE sync_events SET status = 'dead'")
            assert "discarded" in await browser.act(f"/events/{event_id}/discard")
            await browser.act(f"/events/{event_id}/resend", status=409)
