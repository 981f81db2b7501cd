"""Names of strangers in the dialogs: they are text, and leave room for the buttons."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium

from tests.browser.chromium import DESKTOP, PHONE, WatchedPage, watched
from tests.support.console import OpenConsole, open_console
from zenskar.api.app import create_app
from zenskar.api.server import serve
from zenskar.console.console import Console
from zenskar.console.page import Action, ActionField, ConsolePage, Done, Preview, ShownOnce, Visit
from zenskar.errors import StateConflict

NAMES = (
    "<img src=x onerror=alert(1)><script>alert(2)</script></dialog>",
    "a\u202eb\u0007c\u200f\u2066d",
    "\u05e9\u05dc\u05d5\u05dd) \u0645\u0631\u062d\u0628\u0627",
    "W" * 5_000,
    '" autofocus onfocus="alert(3)',
)
SHOWN = (NAMES[0], "a[U+202E]b[U+0007]c[U+200F][U+2066]d", *NAMES[2:])
LINK = """() => {
    const link = document.createElement("a");
    link.href = "/console/act";
    link.dataset.dialog = "";
    link.textContent = "open it";
    document.querySelector("main").append(link);
}"""


def everywhere(name: str, refusal: str = "") -> Preview:
    """Return a preview with a name at each place."""
    return Preview(
        f"Stop {name}?",
        f"It stops {name}.",
        "Confirm",
        "/console/start",
        counts=[("Name", name), (name, "1")],
        details=[name, name],
        fields=[
            ActionField("text", name, name, name),
            ActionField("choice", "Choice", name, choices=[(name, name)]),
            ActionField("long", "Long", name, long=True),
        ],
        dangerous=True,
        refusal=refusal and f"{refusal} {name}",
    )


@pytest_asyncio.fixture(params=range(len(NAMES)), ids=("markup", "control", "rtl", "long", "quote"))
async def hostile(
    request: pytest.FixtureRequest, database_url: str
) -> AsyncIterator[tuple[OpenConsole, str]]:
    """Yield a console whose action shows a name everywhere, and how it must be shown."""
    name, shown = NAMES[request.param], SHOWN[request.param]

    async def preview(_visit: Visit) -> Preview:
        return everywhere(name)

    async def refused(_visit: Visit) -> Preview:
        return everywhere(name, "It is too late for")

    async def run(visit: Visit) -> Done | ShownOnce:
        if visit.reason == "fail":
            raise StateConflict(f"no {name}")
        secret = "secret" if visit.reason == "secret" else ""
        return Done(f"{name} is stopped.", "/console/start", secret)

    async def start(_visit: Visit) -> dict[str, Any]:
        return {"problem": {"status": 404, "detail": name}, "reads": True}

    pages = (ConsolePage("/start", "trouble.html", start),)
    actions = (Action("/act", preview, run), Action("/refused", refused, run))
    async with open_console(database_url, auth="off") as opened:
        services = opened.flow.runtime.services()
        app = create_app(services, [Console(services, pages, actions)])
        async with serve(app, "127.0.0.1", 0, services.settings) as address:
            yield OpenConsole(address, opened.flow), shown


@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=("desktop", "phone"))
async def test_a_name_is_text_everywhere_and_leaves_room(
    browser: Chromium, hostile: tuple[OpenConsole, str], window: dict[str, int]
) -> None:
    console, shown = hostile
    async with watched(browser, console.address, viewport=window) as page:
        await page.open("/start")
        await page.page.evaluate(LINK)
        await page.page.click("text=open it")
        await page.page.wait_for_selector("dialog[open] #reason")
        await check(page, "dialog", shown, times=8)
        await page.page.fill("dialog #reason", "fail")
        await page.page.click("dialog button:has-text('Confirm')")
        await page.page.wait_for_selector("[role=alert]")
        page.faults.clear()
        await check(page, "main", shown, times=9)
        await page.page.fill("#reason", "secret")
        await page.page.click("button:has-text('Confirm')")
        await page.page.wait_for_selector("h1:has-text('Copy it now')")
        await check(page, "main", shown, times=1)
        await page.open("/act")
        await page.page.fill("#reason", "work")
        await page.page.click("button:has-text('Confirm')")
        await page.page.wait_for_selector(".banner.good[role=status]")
        await check(page, ".banner.good[role=status]", shown[:100], times=1)
        await page.open("/refused")
        await check(page, "main", shown, times=7)
        assert await page.serious_findings() == []


async def check(page: WatchedPage, place: str, shown: str, times: int) -> None:
    """Raise unless the name is text, the page is not wider, and every control can be reached."""
    text: str = await page.page.locator(place).first.evaluate("each => each.textContent")
    assert text.count(shown) >= times, text[:3000]
    found = await page.page.evaluate("document.querySelectorAll('main img, dialog img').length")
    assert found == 0
    assert await page.overflow() == 0
    overflow: int = await page.page.locator(place).first.evaluate(
        "each => each.scrollWidth - each.clientWidth"
    )
    assert overflow <= 0
    for control in await page.page.locator(f"{place} .buttons > *").all():
        await control.scroll_into_view_if_needed()
        box = await control.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= await page.page.evaluate("innerWidth")
    heights: list[int] = (
        await page.page.locator(place)
        .first.locator("h1, p, dd, dt, li")
        .evaluate_all("all => all.map(each => each.offsetHeight)")
    )
    assert max(heights, default=0) < PHONE["height"] / 2
