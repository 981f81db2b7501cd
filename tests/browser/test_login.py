"""The login in a browser."""

from playwright.async_api import Browser as Chromium

from tests.browser.chromium import watched
from tests.support.console import open_console
from zenskar.model.scope import Scope


async def test_a_wrong_key_a_right_key_and_a_logout(browser: Chromium, database_url: str) -> None:
    async with open_console(database_url) as console, watched(browser, console.address) as page:
        await page.open()
        assert await page.serious_findings() == []
        await page.page.fill("#key", "nonsense")
        await page.page.keyboard.press("Enter")
        await page.page.wait_for_selector("[role=alert]")
        page.faults.clear()
        await page.page.fill("#key", await console.key(Scope.READ, "Grace"))
        await page.page.keyboard.press("Enter")
        await page.page.wait_for_selector("h1:has-text('Overview')")
        assert "Grace" in await page.page.inner_text(".who")
        assert await page.page.evaluate("document.cookie") == ""
        await page.page.click("text=Log out")
        await page.page.wait_for_selector("#key")
