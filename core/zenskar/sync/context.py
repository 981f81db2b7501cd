"""The dependencies that both directions share."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.errors import Failure
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.invoker import PluginInvoker
from zenskar.plugins.router import PluginRouter
from zenskar.sync.clocks import Clocks
from zenskar.sync.dead_letters import DeadLetterWriter
from zenskar.sync.resilience.call_limiter import CallLimiter
from zenskar.sync.resilience.rate_limit import RateLimitBackoff, hold_back
from zenskar.sync.resilience.retry import RetryPolicy
from zenskar.sync.translator import Translator
from zenskar.telemetry.metrics import Metrics


async def no_failpoint(_point: str) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class SyncContext:
    """The database, the integrations, and `wake(topic)`, which wakes the workers of a topic.

    `failpoint(name)` is called between steps; crash tests stop a worker there. `clock` shows Unix
    seconds and may be set; `monotonic` never is. `backoff` delays calls after a rate limit,
    and `limiter` keeps calls within the declared limits.
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
    broadcaster: Broadcaster = field(default_factory=Broadcaster)
    limiter: CallLimiter | None = None

    def retry(self, source: str) -> RetryPolicy:
        """Return the retry policy of a connection."""
        return RetryPolicy.of(self.connections[source].settings)

    @property
    def unreadable(self) -> frozenset[str]:
        """The connections whose profile cannot be used, so that no event of theirs is read."""
        return frozenset(n for n, c in self.connections.items() if c.profile_problem)

    @property
    def invoker(self) -> PluginInvoker:
        """The invoker of calls to external systems."""
        return PluginInvoker(self.router, self.metrics, self.clock, self.monotonic, self.limiter)

    async def hold_back(self, db: AsyncConnection, source: str, failure: Failure) -> float:
        """Delay the calls of a connection, or of the endpoint that a rate limit names.

        Returns the seconds until the refused call should be made again, with jitter.
        """
        if self.limiter is not None:
            seconds = await self.limiter.hold(db, source, failure)
            if seconds is not None:
                return seconds
        await hold_back(self.backoff, db, source, failure.retry_after)
        return self.backoff.wait(source)
