"""The clients of the drill: they create customers, and repeat a request until it is answered."""

import asyncio
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp

_PAUSE_SECONDS = 0.4
_AGAIN_SECONDS = 0.3


@dataclass
class Clients:
    """Creates customers until it is stopped, and keeps their ids and those of deleted ones."""

    api_url: str
    made: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    refused: int = 0
    answers: Counter[tuple[int, bool]] = field(default_factory=Counter)
    """How often each status was answered, and whether with `Retry-After`."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """Create no more customers."""
        self._stopping.set()

    async def run(self) -> None:
        """Create customers, one after the other."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            number = 0
            while not self._stopping.is_set():
                number += 1
                await self._create(http, {"name": f"C{number}", "email": f"c{number}@example.com"})
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _PAUSE_SECONDS)

    async def _create(self, http: aiohttp.ClientSession, document: dict[str, str]) -> None:
        """Repeat a request with its key until it is answered: the customer is created once."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                url = f"{self.api_url}/customers"
                async with http.post(url, json=document, headers=headers) as response:
                    self.answers[response.status, "Retry-After" in response.headers] += 1
                    if response.status == 201:
                        self.made.append((await response.json())["id"])
                        return
            self.refused += 1
            await asyncio.sleep(_AGAIN_SECONDS)
