"""Wait for something without a fixed sleep."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.005


async def until(
    condition: Callable[[], Awaitable[T | None]], seconds: float = DEADLINE_SECONDS
) -> T:
    """Return the first true value of the condition; raise TimeoutError at the deadline."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(_POLL_SECONDS)
    return found
