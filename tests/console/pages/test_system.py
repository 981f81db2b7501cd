"""The page of the system, and the actions on API keys."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from tests.support.console import OpenConsole, open_console
from zenskar.db import schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.model.scope import Scope
from zenskar.settings import Settings


@pytest_asyncio.fixture
async def console(database_url: str) -> AsyncIterator[OpenConsole]:
    async with open_console(database_url, working=True) as opened:
        yield opened


async def test_a_key_is_created_shown_once_used_and_revoked(console: OpenConsole) -> None:
    async with console.browser(Scope.ADMIN) as browser:
        fields = {"name": "ci <b>", "scope": "write", "days": "30"}
        made = await browser.act("/system/keys/create", "a pipeline", **fields)
        (key,) = re.findall(r'data-copy="(zsk_\w+)"', made)
        prefix = key.split("_")[1]
        page = await browser.page("/system")
        assert key not in page
        assert "ci &lt;b&gt;" in page
        async with console.browser() as other:
            assert (await other.log_in(key)).status == 303
            assert "ci &lt;b&gt;" in await other.page()
            revoked = await browser.act(f"/system/keys/{prefix}/revoke", "it leaked")
            assert f"The key {prefix} is revoked." in revoked
            assert "Log in with an API key" in await other.page()
        assert "not in force" in await browser.page(f"/system/keys/{prefix}/revoke")
        audit = await browser.page("/audit", params={"target": prefix})
        assert "a pipeline" in audit
        assert "it leaked" in audit
        assert key not in audit
        assert "it leaked" not in await browser.page("/audit?action=create_key")
        assert "No action matches" in await browser.page("/audit?action=erase")


async def test_wrong_choices_are_refused(console: OpenConsole) -> None:
    async with console.browser(Scope.ADMIN) as browser:
        right = {"name": "ci", "scope": "read", "days": "30"}
        for wrong in ({"name": " "}, {"scope": "root"}, {"days": "-1"}):
            await browser.act("/system/keys/create", status=400, **(right | wrong))
    async with console.browser(Scope.WRITE) as browser:
        await browser.page("/system/keys/create", 403)


async def test_workers_have_a_host_and_a_version(console: OpenConsole) -> None:
    await console.flow.until_scalar("SELECT count(*) FROM workers")
    async with console.browser(Scope.READ) as browser:
        page = await browser.page("/system")
    (worker,) = await console.flow.rows("SELECT host, version, roles FROM workers")
    assert f"<bdi>{worker['host']}</bdi>" in page
    assert worker["version"] in page
    assert "scheduler" in page


async def test_every_retention_is_shown(console: OpenConsole) -> None:
    kinds = {name for name in Settings.model_fields if name.startswith("retention_")}
    async with console.browser(Scope.READ) as browser:
        page = (await browser.page("/system")).partition('id="retention"')[2]
    assert page.count("<dt>") == len(kinds)
    assert "Audit" in page


async def test_the_growth_of_a_table_is_shown(database_url: str) -> None:
    async with open_console(database_url) as console:
        engine = console.flow.runtime.engine
        week_ago = (datetime.now(UTC) - timedelta(days=7)).isoformat()
        state = {"days": [{"at": week_ago, "bytes": {"customers": 0}}]}
        async with console.browser(Scope.READ) as browser:
            assert "not known yet" in await browser.page("/system")
            await in_transaction(engine, lambda c: schedules.hurry(c, "table_sizes", state))
            page = await browser.page("/system")
    assert re.search(r"customers</\w+>.{0,80}\+[\d.]+ KiB", page, re.DOTALL)
