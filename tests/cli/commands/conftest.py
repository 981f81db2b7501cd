"""A local Stripe for the tests of commands on whole external systems."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from zenskar_stripe.sandbox import StripeSandbox

T = TypeVar("T")


class Remote:
    """A sandbox that runs in a loop of its own, in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sandbox: StripeSandbox) -> None:
        self._loop = loop
        self.sandbox = sandbox

    def do(self, work: Callable[[StripeSandbox], T]) -> T:
        """Do something with the sandbox in its loop."""

        async def run() -> T:
            return work(self.sandbox)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(20)

    def create(self, **values: Any) -> str:
        return str(self.do(lambda s: s.dashboard.create(values))["id"])

    def update(self, customer: str, **values: Any) -> None:
        self.do(lambda s: s.dashboard.update(customer, values))

    def delete(self, customer: str) -> None:
        self.do(lambda s: s.dashboard.delete(customer))


@contextmanager
def running_sandbox(seed: int = 0) -> Iterator[Remote]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sandbox = StripeSandbox(seed=seed)
    try:
        asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(20)
        yield Remote(loop, sandbox)
        asyncio.run_coroutine_threadsafe(sandbox.stop(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def stripe(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A connection with a local Stripe, which sends no webhooks."""
    with running_sandbox() as remote:
        variables = {
            "ZENSKAR_CONNECTIONS": "stripe",
            "ZENSKAR_RETRY_MAX_ATTEMPTS": "2",
            "ZENSKAR_RETRY_BASE_SECONDS": "0.01",
            "ZENSKAR_POLL_SECONDS": "0.1",
            "STRIPE_API_KEY": remote.sandbox.api_key,
            "STRIPE_API_BASE": remote.sandbox.base_url,
            "STRIPE_WEBHOOK_SECRET": "whsec_of_the_tests",
            "STRIPE_RATE_LIMIT": "0",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield remote
