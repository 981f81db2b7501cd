"""A customer is erased after a count."""

from tests.support.api import UNKNOWN_ID
from tests.support.console import open_console
from zenskar.model.scope import Scope


async def test_a_customer_is_counted_then_erased(database_url: str) -> None:
    async with open_console(database_url, working=True) as console:
        record_id = await console.flow.create(name="Ada", email="ada@example.com")
        await console.flow.settle()
        path = f"/records/customer/{record_id}/erase"
        async with console.browser(Scope.ADMIN) as browser:
            preview = await browser.page(path)
            assert "cannot be undone" in preview
            (external_id,) = console.flow.systems["fake"].objects
            assert f"<bdi>fake keeps its object {external_id}</bdi>" in preview
            assert "<dt>Rows of customers</dt><dd><bdi>1</bdi></dd>" in preview
            assert await console.flow.scalar("SELECT name FROM customers") == "Ada"
            assert await console.flow.scalar("SELECT count(*) FROM operator_actions") == 0
            assert "The customer is erased" in await browser.act(path, "a request of Ada")
        assert await console.flow.scalar("SELECT name FROM customers") is None
        query = "SELECT reason FROM operator_actions WHERE action = 'erase'"
        assert await console.flow.scalar(query) == "a request of Ada"


async def test_others_cannot_be_erased(database_url: str) -> None:
    async with open_console(database_url) as console:
        async with console.browser(Scope.ADMIN) as browser:
            await browser.page(f"/records/customer/{UNKNOWN_ID}/erase", 404)
            await browser.page(f"/records/order/{UNKNOWN_ID}/erase", 404)
        async with console.browser(Scope.WRITE) as browser:
            await browser.page(f"/records/customer/{UNKNOWN_ID}/erase", 403)
