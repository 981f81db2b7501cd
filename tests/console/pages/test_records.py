"""The pages of records, and the actions on them."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.console import OpenConsole, open_console
from zenskar.model.scope import Scope


@pytest_asyncio.fixture
async def console(database_url: str) -> AsyncIterator[OpenConsole]:
    async with open_console(database_url, working=True) as opened:
        yield opened


async def test_values_are_hidden_until_they_are_revealed_with_a_reason(
    console: OpenConsole,
) -> None:
    record = await console.flow.create(name="Ada <Lovelace>", phone="+49 30 1")
    await console.flow.settle()
    (external_id,) = console.flow.systems["fake"].objects
    path = f"/records/customer/{record}"
    async with console.browser(Scope.ADMIN) as browser:
        for query in (record, external_id, "ada@example.com"):
            found = await browser.page("/records", params={"q": query})
            assert path in found
            assert "Lovelace" not in found
        assert "No record matches" in await browser.page("/records", params={"q": "nobody"})
        assert "Lovelace" not in await browser.page("/records")
        page = await browser.page(path)
        assert external_id in page
        assert "the API at" in page
        for value in ("Lovelace", "ada@example.com", "+49"):
            assert value not in page
        assert "Lovelace" not in await browser.page(f"{path}/reveal")
        revealed = await browser.act(f"{path}/reveal", "a complaint")
        assert "Ada &lt;Lovelace&gt;" in revealed
    query = "SELECT action, target, reason FROM operator_actions"
    assert await console.flow.rows(query) == [
        {"action": "reveal", "target": record, "reason": "a complaint"}
    ]
    async with console.browser(Scope.WRITE) as browser:
        await browser.page(f"{path}/reveal", 403)


async def test_a_difference_is_shown_side_by_side(database_url: str) -> None:
    async with open_console(database_url, working=True, auth="off") as console:
        flow = console.flow
        record = await flow.create(name="Ada")
        await flow.settle()
        async with console.browser() as browser:
            assert "<mark>" not in await browser.page(f"/records/customer/{record}")
            await browser.act("/connections/fake/pause")
            await flow.runtime.customers.patch(record, {"name": "Augusta"}, correlation_id="c")
            page = await browser.page(f"/records/customer/{record}")
    assert "<bdi>Augusta</bdi>" in page
    assert "<mark><bdi>Ada</bdi></mark>" in page


async def test_a_fetch_and_a_push_are_requested_and_done(console: OpenConsole) -> None:
    flow, system = console.flow, console.flow.systems["fake"]
    record = await flow.create()
    await flow.settle()
    (external_id,) = system.objects
    system.objects[external_id] = {"name": "Changed there", "email": "ada@example.com"}
    async with console.browser(Scope.WRITE) as browser:
        path = f"/records/customer/{record}"
        page = await browser.act(f"{path}/fetch", "a look")
        assert "A fetch was requested at fake." in page
        await flow.until_scalar("SELECT name = 'Changed there' FROM customers")
        await flow.settle()
        assert "A push was requested at fake." in await browser.act(
            f"{path}/push", connection="fake"
        )
        await flow.settle()
        wrong = await browser.act(f"{path}/fetch", connection="other", status=404)
        assert "the record has no object at other" in wrong.lower()
        await browser.page("/records/customer/nonsense", 404)
    kinds = await flow.rows("SELECT event_type FROM sync_events ORDER BY id")
    assert {"customer.look", "customer.resync"} <= {each["event_type"] for each in kinds}
    by = "SELECT detail LIKE '%API key%' FROM sync_event_history AS h JOIN sync_events AS e"
    by += " ON e.id = h.event_id WHERE event_type = 'customer.look' ORDER BY h.id LIMIT 1"
    assert await flow.scalar(by)
