"""The page of the audit."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest_asyncio

from tests.support.console import OpenConsole, open_console
from zenskar.db.driver.engine import in_transaction
from zenskar.ids import new_id
from zenskar.model.actor import Actor
from zenskar.model.operator_action import ActionKind
from zenskar.model.scope import Scope
from zenskar.ops.audit import AuditEntry

GRACE = Actor("key grace", "10.0.0.7", "because <b>")


@pytest_asyncio.fixture
async def console(database_url: str) -> AsyncIterator[OpenConsole]:
    async with open_console(database_url) as opened:
        yield opened


async def write(console: OpenConsole, *entries: AuditEntry) -> None:
    for entry in entries:
        await in_transaction(console.flow.runtime.engine, entry.write)


async def test_an_action_tells_who_from_where_why_and_how_many(console: OpenConsole) -> None:
    await write(
        console, AuditEntry(ActionKind.RETRY, GRACE, "fake", result={"queued": 12, "ok": True})
    )
    async with console.browser(Scope.READ) as browser:
        page = await browser.page("/audit")
    for shown in ("key grace", "10.0.0.7", "because &lt;b&gt;", "queued: 12", "ok: yes", "fake"):
        assert shown in page


async def test_a_target_leads_to_its_page(console: OpenConsole) -> None:
    record, event = new_id(), new_id()
    places = {
        f"/connections/{quote('a b')}": AuditEntry(ActionKind.PAUSE, GRACE, "a b"),
        f"/records/customer/{record}": AuditEntry(ActionKind.UNDELETE, GRACE, record),
        f"/events/{event}": AuditEntry(ActionKind.RETRY, GRACE, event),
        "/connections/many": AuditEntry(ActionKind.RETRY, GRACE, "many"),
        "/system": AuditEntry(ActionKind.REVOKE_KEY, GRACE, "prefix"),
    }
    await write(console, *places.values(), AuditEntry(ActionKind.RETRY, GRACE))
    async with console.browser(Scope.READ) as browser:
        table = (await browser.page("/audit")).partition("<tbody>")[2]
    for place in places:
        assert f'href="/console{place}"' in table
    assert table.count("href=") == len(places)


async def test_filters_and_pages_keep_their_place(console: OpenConsole) -> None:
    paused = (AuditEntry(ActionKind.PAUSE, GRACE, f"c{number}") for number in range(51))
    await write(console, *paused, AuditEntry(ActionKind.RESUME, GRACE, "resumed"))
    async with console.browser(Scope.READ) as browser:
        first = await browser.page("/audit?action=pause")
        assert "resumed" not in first
        assert first.count("because") == 50
        (rest,) = {
            part.split('"')[0] for part in first.split('href="/console')[1:] if "cursor" in part
        }
        second = await browser.page(rest.replace("&amp;", "&"))
        assert second.count("because") == 1
        assert "No action matches" in await browser.page("/audit?target=nobody")


async def test_a_cursor_of_nobody_is_refused(console: OpenConsole) -> None:
    async with console.browser(Scope.READ) as browser:
        await browser.page("/audit?cursor=x", 400)
