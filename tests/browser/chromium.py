"""Start the Chromium of this machine, and watch its pages for everything that must not happen."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
_AXE = Path(__file__).parent / "vendor" / "axe.min.js"
_VIOLATIONS = """
    window.violations = [];
    addEventListener("securitypolicyviolation", (e) =>
        window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
"""
_RUN_AXE = """async () => {
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return found.violations
        .filter((v) => ["serious", "critical"].includes(v.impact))
        .map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(" | ")}`);
}"""


def executable() -> str | None:
    """Return the path of Chromium, None without one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """Yield a running Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable(), args=["--no-sandbox"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class WatchedPage:
    """A page of the console, with the faults that were seen in it."""

    address: str
    context: BrowserContext
    page: Page
    scripts: bool = True
    faults: list[str] = field(default_factory=list)

    async def open(self, path: str = "", status: int = 200) -> None:
        """Load a page of the console, and wait until nothing is loaded."""
        before = len(self.faults)
        response = await self.page.goto(f"{self.address}/console{path}")
        assert response is not None
        assert response.status == status, f"{path}: {response.status}"
        await self.page.wait_for_load_state("networkidle")
        if status >= 400:
            # Chromium logs the status as an error.
            del self.faults[before:]

    async def text(self) -> str:
        """Return the visible text of the page."""
        return await self.page.inner_text("body")

    async def serious_findings(self) -> list[str]:
        """Return the serious findings of axe about the page."""
        await self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        found: list[str] = await self.page.evaluate(_RUN_AXE)
        return found

    async def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        found: int = await self.page.evaluate(
            "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
        )
        return found

    async def check(self) -> None:
        """Raise if the page has had a fault."""
        if self.scripts:
            self.faults += await self.page.evaluate("window.violations || []")
        assert self.faults == []


@asynccontextmanager
async def watched(browser: Chromium, address: str, **options: Any) -> AsyncIterator[WatchedPage]:
    """Yield a page in a context of its own, and check at the end that it had no fault."""
    context = await browser.new_context(**{"viewport": DESKTOP, **options})
    page = await context.new_page()
    found = WatchedPage(address, context, page, options.get("java_script_enabled", True))
    await page.add_init_script(_VIOLATIONS)
    page.on("console", lambda m: m.type == "error" and found.faults.append(f"console: {m.text}"))
    page.on("pageerror", lambda error: found.faults.append(f"error: {error}"))
    page.on(
        "request",
        lambda r: r.url.startswith((address, "data:")) or found.faults.append(f"asks {r.url}"),
    )
    try:
        yield found
        await found.check()
    finally:
        await context.close()
