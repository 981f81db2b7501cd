"""The dead letters: groups by cause, and the actions on a group."""

import re

from tests.console.pages.test_events import dead_event
from tests.support.console import open_console
from zenskar.model.scope import Scope


async def test_letters_of_one_cause_are_a_group_that_is_retried(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        flow = console.flow
        first = await dead_event(console, "Ada")
        second = await dead_event(console, "Grace")
        async with flow.runtime.engine.connect() as db:
            await db.exec_driver_sql(
                "UPDATE sync_events SET error_message ="
                " 'object obj_' || CAST(id AS text) || ' is <b>late</b>'"
            )
        async with console.browser(Scope.WRITE) as browser:
            page = await browser.page("/dead-letters")
            assert "object … is &lt;b&gt;late&lt;/b&gt;" in page
            assert first in page
            assert second in page
            query = (
                "?source=fake&error_kind=rejected&error=object+%E2%80%A6+is+%3Cb%3Elate%E2%80%A6"
            )
            preview = await browser.page(f"/dead-letters/retry{query}")
            assert "<dt>Dead letters</dt><dd><bdi>2</bdi></dd>" in preview
            await browser.page(f"/dead-letters/discard{query}", 403)
            none = await browser.page("/dead-letters/retry?source=other")
            assert "No dead letter matches" in none
            assert "2 dead letters are processed again" in await browser.act(
                f"/dead-letters/retry{query}"
            )
            await flow.settle()
            assert "No dead letters" in await browser.page("/dead-letters")
        assert await flow.scalar("SELECT count(*) FROM sync_events WHERE status = 'dead'") == 0


async def test_an_action_is_refused_when_the_number_has_changed(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        await dead_event(console, "Ada")
        async with console.browser(Scope.ADMIN) as browser:
            refused = await browser.act("/dead-letters/discard", status=409, expected="7")
            assert "has changed to 1" in refused
            assert "1 dead letter is discarded" in await browser.act("/dead-letters/discard")
        (action,) = await console.flow.rows("SELECT action, result FROM operator_actions")
        assert action == {"action": "discard", "result": {"events": 1}}


async def test_the_times_of_the_filter_stay_with_an_action(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        await dead_event(console, "Ada")
        async with console.browser(Scope.WRITE) as browser:
            page = await browser.page("/dead-letters?since=2020-01-01T00:00")
            links = re.findall(r'"/console(/dead-letters/retry\?[^"]+)"', page)
            assert len(links) == 2
            for link in links:
                assert "since=2020-01-01T00%3A00" in link
                assert "<dd><bdi>1</bdi></dd>" in await browser.page(link.replace("&amp;", "&"))
            assert "No dead letter matches" in await browser.page(
                "/dead-letters/retry?until=2020-01-01T00:00"
            )
            await browser.page("/dead-letters?since=yesterday", 400)


async def test_a_cause_is_acknowledged_until_another_letter_dies(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        await dead_event(console, "Ada")
        async with console.browser(Scope.WRITE) as browser:
            page = await browser.page("/dead-letters")
            (link,) = re.findall(r'"/console(/dead-letters/acknowledge[^"]+)"', page)
            done = await browser.act(link.replace("&amp;", "&"), "Ada calls <them>")
            assert "1 dead letter is acknowledged" in done
            page = await browser.page("/dead-letters")
            assert "Ada calls &lt;them&gt;" in page
            assert "/dead-letters/acknowledge" not in page
            await dead_event(console, "Grace")
            page = await browser.page("/dead-letters")
            assert "Ada calls" not in page
            assert "/dead-letters/acknowledge" in page
