"""Fixtures of the lane."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium

from tests.browser.chromium import NAMES, chromium, executable
from tests.browser.world import World, open_world


def pytest_sessionstart() -> None:
    """Fail before the first test when the lane cannot run; it never passes without tests."""
    if executable() is None:
        names = ", ".join(NAMES)
        pytest.exit(
            f"lane console: FAILED, it cannot run. It needs one of {names}; on Debian: "
            "apt-get install chromium",
            returncode=1,
        )


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Chromium]:
    """Yield a running Chromium."""
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Yield a filled console without a login."""
    async with open_world(database_url) as opened:
        yield opened
