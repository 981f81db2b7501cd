"""An operator in a browser, who begins at the overview, follows links alone, and counts clicks."""

import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Locator

from tests.browser.chromium import WatchedPage
from tests.support.wait import DEADLINE_SECONDS, until

_DOCUMENT = Path(__file__).parents[3] / "docs" / "console.md"
_ROW = re.compile(r"^\| ([^|]+) \|[^|]+\|[^|]+\| (\d+), (\S+) \|$", re.MULTILINE)
_READ_AGAIN_MS = 500
_TEXT = "document.querySelector('main').innerText"
_TICK = "document.body.dispatchEvent(new Event('tick'))"


@dataclass(frozen=True)
class Clicks:
    """The clicks to the state of a fault, and from there to its end; None if it ends outside."""

    to_state: int
    to_end: int | None = None


def documented() -> Mapping[str, Clicks]:
    """Return the clicks of each fault in the table of the document."""
    return dict(_rows(_DOCUMENT.read_text(encoding="utf-8")))


def _rows(text: str) -> Iterator[tuple[str, Clicks]]:
    for fault, to_state, to_end in _ROW.findall(text):
        yield fault, Clicks(int(to_state), int(to_end) if to_end.isdigit() else None)


@dataclass
class ClickingOperator:
    """An operator at the overview, with the clicks since and those at which the state was seen."""

    browser: WatchedPage
    clicks: int = 0
    clicks_to_state: int | None = None

    async def follow(self, text: str) -> None:
        """Click the first link with a text, in the content before the menu."""
        page = self.browser.page
        for place in ("main", "nav"):
            link = page.locator(f"{place} a:visible", has_text=text).first
            if await link.count():
                return await self._click(link)
        raise AssertionError(f"no link says {text!r}:\n{await self.browser.text()}")

    async def sees(self, *texts: str) -> None:
        """Wait until the page shows all these texts; a live page is read again meanwhile."""
        page = self.browser.page
        end = time.monotonic() + DEADLINE_SECONDS
        while missing := [each for each in texts if each.lower() not in await self._text()]:
            if time.monotonic() > end:
                raise AssertionError(f"{page.url} shows no {missing}:\n{await self._text()}")
            await page.evaluate(_TICK)
            await page.wait_for_timeout(_READ_AGAIN_MS)

    async def sees_the_state(self, *texts: str) -> None:
        """Wait for the texts that say what is wrong: from here on, clicks end the fault."""
        await self.sees(*texts)
        self.clicks_to_state = self.clicks

    async def no_longer_sees(self, *texts: str) -> None:
        """Wait until the live page shows none of these texts."""

        async def is_gone() -> bool:
            await self.browser.page.evaluate(_TICK)
            await self.browser.page.wait_for_timeout(_READ_AGAIN_MS)
            shown = await self._text()
            return not any(each.lower() in shown for each in texts)

        await until(is_gone)

    async def act(self, button: str, confirm: str, **fields: str) -> str:
        """Open the first action with this text, confirm it with a reason, and return its result."""
        page = self.browser.page
        await self._click(page.locator("main").get_by_role("link", name=button, exact=True).first)
        dialog = page.locator("dialog[open]")
        await dialog.locator("#reason").fill("a fault")
        for name, value in fields.items():
            await dialog.locator(f"#field-{name}").select_option(value)
        await self._click(dialog.locator("button", has_text=confirm).last)
        notice = page.locator(".banner.good[role=status]")
        await notice.wait_for(timeout=DEADLINE_SECONDS * 1000)
        return await notice.inner_text()

    async def _click(self, locator: Locator) -> None:
        self.clicks += 1
        await locator.click(timeout=DEADLINE_SECONDS * 1000)
        await self.browser.page.wait_for_load_state("domcontentloaded")

    async def _text(self) -> str:
        # Some texts are in capitals for the eye alone.
        found: str = await self.browser.page.evaluate(_TEXT)
        return found.lower()


@asynccontextmanager
async def fault(browser: WatchedPage, name: str) -> AsyncIterator[ClickingOperator]:
    """Yield an operator at the overview, and compare the counted clicks with the document."""
    await browser.open()
    operator = ClickingOperator(browser)
    yield operator
    state = operator.clicks_to_state
    assert state is not None
    ended = operator.clicks - state
    assert Clicks(state, ended or None) == documented()[name], f"{name}: {state}, {ended}"
