"""What both directions work with."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.plugins.discovery import ConfiguredConnection
from zenskar.plugins.invoker import PluginInvoker
from zenskar.plugins.router import PluginRouter
from zenskar.sync.clocks import Clocks
from zenskar.sync.dead_letters import DeadLetterWriter
from zenskar.sync.resilience.rate_limit import RateLimitBackoff
from zenskar.sync.resilience.retry import RetryPolicy
from zenskar.sync.translator import Translator
from zenskar.telemetry.metrics import Metrics


async def no_failpoint(_point: str) -> None:
    """Go on."""


@dataclass(frozen=True, slots=True)
class SyncContext:
    """The database, the integrations and the way to wake a worker: `wake(topic)`.

    `passing` is told of every point between two steps that a crash may come between, by name;
    tests stop a worker there. `clock` shows Unix seconds and may be set; `monotonic` never is.
    `brake` holds calls back, of whatever kind.
    """

    engine: AsyncEngine
    router: PluginRouter
    connections: Mapping[str, ConfiguredConnection]
    translator: Translator
    metrics: Metrics
    wake: Callable[[str], None]
    dead_letters: DeadLetterWriter
    clocks: Clocks
    failpoint: Callable[[str], Awaitable[None]] = no_failpoint
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    backoff: RateLimitBackoff = field(default_factory=RateLimitBackoff)

    def retry(self, source: str) -> RetryPolicy:
        """Return when failed calls of a connection are tried again."""
        return RetryPolicy.of(self.connections[source].settings)

    @property
    def invoker(self) -> PluginInvoker:
        """The calls to external systems."""
        return PluginInvoker(self.router, self.metrics, self.clock, self.monotonic)
