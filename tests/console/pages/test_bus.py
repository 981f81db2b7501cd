"""The page of the bus."""

from typing import Any

from tests.support.console import open_console
from zenskar.bus.port import LogRange
from zenskar.errors import Unavailable
from zenskar.model.scope import Scope


async def test_waiting_messages_are_counted_and_shown_without_content(database_url: str) -> None:
    async with open_console(database_url) as console:
        record = await console.flow.create()
        async with console.browser(Scope.READ) as browser:
            page = await browser.page("/bus")
    assert "<dt>Due now</dt><dd>1</dd>" in page
    assert f"customer:{record}" in page
    assert "ada@example.com" not in page


async def test_an_empty_outbox_and_an_unreachable_kafka_are_said(database_url: str) -> None:
    async with open_console(database_url) as console:

        async def away() -> None:
            raise Unavailable("no broker answers")

        console.flow.runtime.bus.log = away  # type: ignore[method-assign]
        async with console.serve_again() as again, again.browser(Scope.READ) as browser:
            page = await browser.page("/bus")
    assert "The outbox is empty" in page
    assert "no broker answers" in page


async def test_a_message_is_opened_and_ended(database_url: str) -> None:
    async with open_console(database_url) as console:
        await console.flow.create()
        number = await console.flow.scalar("SELECT id FROM outbox")
        path = f"/bus/messages/outbox/{number}"
        async with console.browser(Scope.ADMIN) as browser:
            assert path.replace("/bus", "/console/bus", 1) in await browser.page("/bus")
            page = await browser.page(path)
            assert "customer.created" in page
            assert "ada@example.com" not in page
            done = await browser.act(f"/bus/messages/outbox/{number}/dead-letter")
            assert "The message is a dead letter." in done
            assert "processed" in await browser.page(path, 404)
        async with console.browser(Scope.READ) as browser:
            await browser.page(f"/bus/messages/outbox/{number}/dead-letter", 403)
            await browser.page("/bus/messages/outbox/x", 400)


async def test_the_owner_of_a_partition_is_named(database_url: str) -> None:
    async with open_console(database_url) as console:

        async def log() -> Any:
            return {("sync.inbound", 3): LogRange(0, 9, 4, "worker-<1>")}

        console.flow.runtime.bus.log = log  # type: ignore[method-assign]
        async with console.browser(Scope.READ) as browser:
            page = await browser.page("/bus")
    assert "<bdi>worker-&lt;1&gt;</bdi>" in page
    assert "/console/bus/messages/sync.inbound/3" in page
