"""The view of the person on call: the alerts that fired, and the first sign of health."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from tests.drill.prometheus import Prometheus
from tests.kafka.processes import until

_POLL_SECONDS = 0.5


@dataclass
class Watch:
    """The alerts since a fault began, each with its seconds, and the first sign of health."""

    prometheus: Prometheus
    api_url: str
    began: float = field(default_factory=time.monotonic)
    fired: dict[str, float] = field(default_factory=dict)
    firing: dict[str, str] = field(default_factory=dict)
    sign: str = ""

    def begin(self) -> None:
        """Forget what was seen before the fault."""
        self.began = time.monotonic()
        self.fired.clear()
        self.sign = ""

    def seconds(self) -> float:
        """Return the seconds since the fault began."""
        return time.monotonic() - self.began

    async def alert(self, name: str, seconds: float) -> None:
        """Wait until an alert fires."""

        async def fires() -> bool:
            return name in self.fired

        await until(fires, seconds, f"the alert {name}; {sorted(self.fired)} fired")

    async def silence(self, seconds: float) -> None:
        """Wait until no alert fires."""

        async def is_silent() -> bool:
            return not self.firing

        await until(is_silent, seconds, f"the end of {sorted(self.firing)}")

    async def look(self) -> None:
        """Look once at Prometheus and at the health of the API."""
        self.firing = await self.prometheus.firing()
        for name in self.firing:
            self.fired.setdefault(name, self.seconds())
        if not self.sign and (told := await _health(self.api_url)):
            self.sign = f"{told} ({self.seconds():.0f} s)"


@asynccontextmanager
async def watching(prometheus: Prometheus, api_url: str) -> AsyncIterator[Watch]:
    """Look again and again during the block."""
    watch = Watch(prometheus, api_url)

    async def look() -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                await watch.look()
            await asyncio.sleep(_POLL_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _health(api_url: str) -> str:
    """Return the parts of the health that are not ok, with their status."""
    try:
        timeout = aiohttp.ClientTimeout(total=4)
        ready = f"{api_url}/health/ready"
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(ready) as response:
            checks = (await response.json())["checks"]
    except (aiohttp.ClientError, TimeoutError):
        return "the API does not answer"
    told = [f"{name} {part['status']}" for name, part in checks.items() if part["status"] != "ok"]
    return ", ".join(told)
