"""The pages of connections, and the actions on them."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.console import OpenConsole, open_console
from zenskar import Health
from zenskar.db.connections import DELETE_GUARD
from zenskar.model.scope import Scope
from zenskar.sync import announcements


@pytest_asyncio.fixture
async def console(database_url: str) -> AsyncIterator[OpenConsole]:
    async with open_console(database_url) as opened:
        yield opened


async def test_a_pause_and_a_resumption_are_previewed_and_audited(console: OpenConsole) -> None:
    await console.flow.create()
    async with console.browser(Scope.ADMIN) as browser:
        assert "fake" in await browser.page("/connections")
        preview = await browser.page("/connections/fake/pause")
        assert "<dt>Events that wait already</dt><dd><bdi>1</bdi></dd>" in preview
        paused = await browser.act("/connections/fake/pause", "an incident")
        assert "fake is paused." in paused
        assert "paused by an operator" in paused
        assert "Reason: <bdi>an incident</bdi>" in paused
        for path in ("", "/connections"):
            assert '<bdi class="clip">an incident</bdi>' in await browser.page(path)
        assert "paused already" in await browser.page("/connections/fake/pause")
        assert "<dt>Changes to send</dt><dd><bdi>1</bdi></dd>" in await browser.page(
            "/connections/fake/resume"
        )
        assert "fake is resumed." in await browser.act("/connections/fake/resume", "it is over")
    actions = await console.flow.rows(
        'SELECT action, target, reason, "by" FROM operator_actions ORDER BY id'
    )
    assert [(a["action"], a["target"], a["reason"]) for a in actions] == [
        ("pause", "fake", "an incident"),
        ("resume", "fake", "it is over"),
    ]
    assert all(each["by"].startswith("API key ") for each in actions)


async def test_a_resumption_is_refused_when_the_held_deletes_have_changed(
    console: OpenConsole,
) -> None:
    runtime = console.flow.runtime
    async with runtime.engine.begin() as db:
        await announcements.pause(db, runtime.context.broadcaster, "fake", DELETE_GUARD)
    async with console.browser(Scope.ADMIN) as browser:
        page = await browser.act("/connections/fake/resume", deletes="3", status=409)
        assert "0 deletes are held at fake" in page
        assert await console.flow.scalar("SELECT state FROM connections") == "paused"


async def test_credentials_are_tested_and_a_feed_is_read(console: OpenConsole) -> None:
    async with console.browser(Scope.WRITE) as browser:
        page = await browser.act("/connections/fake/check")
        assert "fake accepts the credentials" in page
        console.flow.systems["fake"].health = Health(ok=False, detail="wrong <key>")
        page = await browser.act("/connections/fake/check")
        assert "does not accept the credentials: wrong &lt;key&gt;" in page
        assert "read within seconds" in await browser.act("/connections/fake/poll")
    due = "SELECT due_at <= now() FROM schedules WHERE name = 'poll:fake'"
    assert await console.flow.scalar(due)


async def test_a_dead_letter_is_not_sent_by_a_resumption(console: OpenConsole) -> None:
    await console.flow.create()
    async with console.browser(Scope.ADMIN) as browser:
        await browser.act("/connections/fake/pause")
        async with console.flow.runtime.engine.connect() as db:
            await db.exec_driver_sql("UPDATE sync_events SET status = 'dead'")
        assert "<dt>Changes to send</dt><dd><bdi>0</bdi></dd>" in await browser.page(
            "/connections/fake/resume"
        )


async def test_scopes_limit_the_actions(console: OpenConsole) -> None:
    async with console.browser(Scope.WRITE) as browser:
        page = await browser.page("/connections/fake")
        assert 'title="needs a key of the scope admin">Pause' in page
        await browser.page("/connections/fake/pause", 403)
        await browser.page("/connections/nothing", 404)


async def test_a_long_answer_of_a_plugin_fits_the_cookie(
    console: OpenConsole,
) -> None:
    async with console.browser(Scope.WRITE) as browser:
        detail = f"{chr(0xD800)} {'ü' * 5_000}"
        console.flow.systems["fake"].health = Health(ok=False, detail=detail)
        page = await browser.act("/connections/fake/check")
        assert "fake does not accept the credentials: ? üü" in page
        assert "ü" * 300 not in page


async def test_an_open_delete_guard_is_shown_and_closed(database_url: str) -> None:
    async with open_console(database_url) as console:
        path = "/connections/fake/close-guard"
        async with console.browser(Scope.ADMIN) as browser:
            assert "closed already" in await browser.page(path)
            async with console.flow.runtime.engine.begin() as db:
                await db.exec_driver_sql(
                    "INSERT INTO connections (name, deletes_allowed_through) VALUES ('fake', now())"
                )
            assert f"/console{path}" in await browser.page("/connections/fake")
            assert "The delete guard of fake is closed." in await browser.act(path)
            assert f"/console{path}" not in await browser.page("/connections/fake")


async def test_refused_webhooks_are_shown_with_their_reason(database_url: str) -> None:
    async with open_console(database_url) as console, console.browser(Scope.READ) as browser:
        assert "Webhooks refused" not in await browser.page("/connections/fake")
        metrics = console.flow.runtime.metrics
        metrics.webhooks.labels("fake", "refused", "signature").inc(3)
        metrics.webhooks.labels("fake", "accepted", "").inc()
        page = await browser.page("/connections/fake")
    assert "Webhooks refused" in page
    assert "wrong signature, check the webhook secret: 3" in page
