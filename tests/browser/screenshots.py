"""Write pictures of every page of the console: light, dark, and on a phone."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.browser.chromium import DESKTOP, PHONE, chromium, watched
from tests.browser.test_pages import path_of
from tests.browser.world import open_world
from tests.support import postgres
from tests.support.databases import Databases
from zenskar.console.site_map import PAGES

FOLDER = Path(__file__).parents[2] / ".screenshots"
IMAGES = Path(__file__).parents[2] / "docs" / "images"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESKTOP},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "device_scale_factor": 2, "is_mobile": True},
}


REPORT = "/recovery?since=2026-01-01T00:00"
DIALOGS = {
    "pause": ("/connections/crm", "Pause…"),
    "link": ("/connections/crm", "Link an object…"),
    "trial": ("/connections/crm", "Try a document…"),
    "erase": ("/records/customer/{waiting_id}", "Erase…"),
    "key": ("/system", "Create key…"),
}


async def take(database_url: str) -> None:
    """Write a picture of each page and of some dialogs in each look."""
    FOLDER.mkdir(exist_ok=True)
    async with open_world(database_url) as world, chromium() as browser:
        for look, options in LOOKS.items():
            async with watched(browser, world.address, **options) as page:
                for each in PAGES:
                    await page.open(path_of(each, world))
                    name = each.template.removesuffix(".html")
                    picture = FOLDER / f"{name}-{look}.png"
                    await page.page.screenshot(path=picture, full_page=True)
                await page.open(REPORT)
                picture = FOLDER / f"recovery_report-{look}.png"
                await page.page.screenshot(path=picture, full_page=True)
                for name, (path, button) in DIALOGS.items():
                    await page.open(path.format(**world.values))
                    await page.page.click(f"text={button}")
                    await page.page.wait_for_selector("dialog[open]")
                    await page.page.screenshot(path=FOLDER / f"dialog_{name}-{look}.png")


async def take_for_documents(database_url: str) -> None:
    """Write the pictures of the documents."""
    async with (
        open_world(database_url, reason="INC-42, wrong invoices") as world,
        chromium() as browser,
        watched(browser, world.address) as light,
        watched(browser, world.address, color_scheme="dark") as dark,
    ):
        await light.open()
        await light.page.screenshot(path=IMAGES / "console-overview.png")
        await light.open(f"/records/customer/{world.values['waiting_id']}")
        await light.page.screenshot(path=IMAGES / "console-record.png")
        await dark.open("/connections/billing")
        await dark.page.click("text=Resume…")
        await dark.page.wait_for_selector("dialog[open] #reason")
        await dark.page.screenshot(path=IMAGES / "console-action.png")


def main() -> None:
    """Take the pictures on a database of their own."""
    postgres.prepare_session()
    databases = Databases(postgres.server_url())
    try:
        with databases.one() as url:
            asyncio.run(take_for_documents(url) if "--documents" in sys.argv else take(url))
    finally:
        databases.drop_all()
        postgres.finish_session()


if __name__ == "__main__":
    main()
