"""Wait for something without a fixed sleep."""

import asyncio
from collections.abc import Awaitable, Callable

DEADLINE_SECONDS = 20.0
_POLL_SECONDS = 0.005


async def until(
    condition: Callable[[], Awaitable[object]], seconds: float = DEADLINE_SECONDS
) -> None:
    """Return as soon as the condition holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(_POLL_SECONDS)
