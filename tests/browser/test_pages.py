"""Every page: no error, no other host, no serious finding, and it fits a phone."""

import re

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import expect

from tests.browser.chromium import PHONE, watched
from tests.browser.world import LONG, World, open_world
from tests.support.frozen import freezable_server
from zenskar.console.page import ConsolePage
from zenskar.console.site_map import PAGES

WAIT_MS = 40_000


def path_of(page: ConsolePage, world: World) -> str:
    """Return the path of a page in this world."""
    return re.sub(r"{(\w+)[^}]*}", lambda found: world.values[found[1]], page.path)


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_pages_are_clean(browser: Chromium, world: World, colours: str) -> None:
    findings: dict[str, list[str]] = {}
    async with watched(browser, world.address, color_scheme=colours) as page:
        for each in PAGES:
            await page.open(path_of(each, world))
            await page.check()
            assert "Traceback" not in await page.text()
            findings[each.path] = await page.serious_findings()
        await page.open("/nothing", 404)
        findings["/nothing"] = await page.serious_findings()
    assert {path: found for path, found in findings.items() if found} == {}


async def test_pages_fit_a_phone(browser: Chromium, world: World) -> None:
    async with watched(browser, world.address, viewport=PHONE, is_mobile=True) as page:
        for each in PAGES:
            await page.open(path_of(each, world))
            assert (each.path, await page.overflow()) == (each.path, 0)


async def test_a_name_of_10_kb_leaves_room_for_the_rest(
    browser: Chromium, database_url: str
) -> None:
    async with (
        open_world(database_url, changed_name=LONG) as world,
        watched(browser, world.address, viewport=PHONE, is_mobile=True) as page,
    ):
        for each in PAGES:
            await page.open(path_of(each, world))
            heights = await page.page.eval_on_selector_all(
                "h1, td, dd, li", "all => all.map(each => each.offsetHeight)"
            )
            assert (each.path, await page.overflow()) == (each.path, 0)
            assert (each.path, max(heights, default=0) < 2 * PHONE["height"]) == (each.path, True)


async def test_a_live_page_is_read_again_while_it_is_visible(
    browser: Chromium, world: World
) -> None:
    async with watched(browser, world.address) as page:
        await page.open()
        before = await page.page.inner_text(".figures")
        await world.console.flow.create(name="Late", email="late@example.com")
        await page.page.wait_for_function(
            "before => document.querySelector('.figures').innerText !== before", arg=before
        )
        assert await page.page.locator(".chart canvas").count() == 1


async def test_a_lost_server_is_reported(browser: Chromium, world: World) -> None:
    async with watched(browser, world.address) as page:
        await page.open()
        await page.context.set_offline(True)
        await page.page.evaluate("document.body.dispatchEvent(new Event('tick'))")
        banner = page.page.locator("#stale:not([hidden])")
        await expect(banner).to_contain_text("No answer from the server")
        await page.context.set_offline(False)
        await page.page.evaluate("document.body.dispatchEvent(new Event('tick'))")
        await page.page.wait_for_selector("#stale", state="hidden")
        page.faults.clear()


async def test_a_server_that_fails_is_reported_with_its_status(
    browser: Chromium, world: World
) -> None:
    async with watched(browser, world.address) as page:
        await page.open()
        await page.page.route("**/*", lambda route: route.fulfill(status=503))
        await page.page.evaluate("document.body.dispatchEvent(new Event('tick'))")
        await expect(page.page.locator("#stale:not([hidden])")).to_contain_text("HTTP 503")
        page.faults.clear()


async def test_the_keyboard_reaches_the_content(browser: Chromium, world: World) -> None:
    async with watched(browser, world.address) as page:
        await page.open()
        await page.page.keyboard.press("Tab")
        assert await page.page.evaluate("document.activeElement.className") == "skip"
        await page.page.keyboard.press("Enter")
        assert await page.page.evaluate("document.activeElement.id") == "main"


async def test_links_lead_to_pages(browser: Chromium, world: World) -> None:
    addresses: set[str] = set()
    async with watched(browser, world.address) as page:
        for each in PAGES:
            await page.open(path_of(each, world))
            found = await page.page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
            addresses |= {address.partition("#")[0] for address in found}
        answers = {each: (await page.page.request.get(each)).status for each in addresses}
    assert {address: status for address, status in answers.items() if status != 200} == {}
    assert len(answers) > len(PAGES)


async def test_a_database_that_hangs_is_reported(browser: Chromium) -> None:
    async with (
        freezable_server() as server,
        open_world(server.url) as world,
        watched(browser, world.address) as page,
    ):
        await page.open()
        server.freeze()
        banner = page.page.locator("#stale:not([hidden])")
        await expect(banner).to_contain_text("HTTP 503", timeout=WAIT_MS)
        await expect(banner).to_contain_text("The page shows the state of")
        server.thaw()
        await page.page.wait_for_selector("#stale", state="hidden", timeout=WAIT_MS)
        page.faults.clear()


async def test_a_server_that_hangs_is_reported_and_asked_by_one_request(
    browser: Chromium, world: World
) -> None:
    asked: list[str] = []
    async with watched(browser, world.address) as page:
        await page.open()
        await page.page.route("**/*", lambda route: asked.append(route.request.url))
        banner = page.page.locator("#stale:not([hidden])")
        await expect(banner).to_contain_text("No answer from the server", timeout=WAIT_MS)
        for _ in range(3):
            await page.page.evaluate("document.body.dispatchEvent(new Event('tick'))")
        assert len(asked) == 1
