"""Actions in a browser: the dialog with the preview, and the page without scripts."""

from playwright.async_api import Browser as Chromium

from tests.browser.chromium import watched
from tests.browser.world import World


async def test_an_action_opens_as_a_dialog_and_reports_its_result(
    browser: Chromium, world: World
) -> None:
    async with watched(browser, world.address) as page:
        await page.open("/connections/crm")
        await page.page.click("text=Pause…")
        await page.page.wait_for_selector("dialog[open] #reason")
        assert await page.serious_findings() == []
        await page.page.keyboard.press("Escape")
        await page.page.wait_for_selector("dialog[open]", state="detached")
        await page.page.click("text=Pause…")
        await page.page.fill("dialog #reason", "<b>an incident</b>")
        await page.page.keyboard.press("Enter")
        await page.page.wait_for_selector(".banner.good:has-text('crm is paused.')")
    query = "SELECT reason FROM operator_actions WHERE target = 'crm'"
    assert await world.console.flow.scalar(query) == "<b>an incident</b>"


async def test_an_action_needs_no_scripts(browser: Chromium, world: World) -> None:
    async with watched(browser, world.address, java_script_enabled=False) as page:
        await page.page.goto(f"{world.address}/console/connections/billing")
        await page.page.click("text=Resume…")
        assert "Changes to send" in await page.page.inner_text("main")
        await page.page.fill("#reason", "it is over")
        await page.page.click("button:has-text('Resume')")
        assert "billing is resumed." in await page.page.inner_text("body")


async def test_an_object_is_linked_after_its_effect_was_shown(
    browser: Chromium, world: World
) -> None:
    crm = world.console.flow.systems["crm"]
    external_id = crm.create(name="Grace", email="grace@example.com")
    crm.webhooks.clear()
    async with watched(browser, world.address) as page:
        await page.open("/connections/crm")
        await page.page.click("text=Link an object…")
        await page.page.fill("dialog #field-external_id", external_id)
        assert await page.serious_findings() == []
        await page.page.click("dialog button:has-text('Show the effect')")
        await page.page.wait_for_selector(".counts:has-text('a new one')")
        await page.page.fill("#reason", "INC-9")
        await page.page.click("button:has-text('Link')")
        await page.page.wait_for_selector(f".banner.good:has-text('{external_id} is linked.')")
        await page.page.wait_for_selector("h2:has-text('Timeline')")
    assert await world.console.flow.scalar(
        "SELECT reason FROM operator_actions WHERE action = 'link'"
    )


async def test_a_search_leads_to_a_record(browser: Chromium, world: World) -> None:
    async with watched(browser, world.address) as page:
        await page.open("/records")
        await page.page.fill("#q", "ada@example.com")
        await page.page.keyboard.press("Enter")
        await page.page.click("tbody a")
        await page.page.wait_for_selector("h2:has-text('Timeline')")
        assert await page.page.inner_text("mark") == "Ada Lovelace"
