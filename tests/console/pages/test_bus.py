"""The page of the bus."""

from tests.support.console import open_console
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
