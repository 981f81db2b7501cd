"""The services that the API is built from."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.api.health import HealthReport
from zenskar.catalog.service import CustomerService
from zenskar.ops.factory import OperationFactory
from zenskar.ops.replay import Replay
from zenskar.ops.state.system_state import SystemReading
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.plugins.router import PluginRouter
from zenskar.schema_catalog import Schema
from zenskar.settings import Settings
from zenskar.sync.ingest.receiver import WebhookReceiver
from zenskar.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from zenskar.telemetry.tracing import Tracing


class HealthChecks(Protocol):
    """Reports the health of the process and of its dependencies."""

    @property
    def stopping(self) -> bool:
        """Whether the process is about to close its port."""

    async def live(self) -> HealthReport:
        """Report on the process alone."""

    async def ready(self) -> HealthReport:
        """Report on all parts that a request needs."""


@dataclass(frozen=True, slots=True)
class ApiServices:
    """The services that handlers use. `schemas` are the core's, by name.

    `state` reads the state of the system, with `most` as the bound of its counts. `lag` returns the
    number of messages on Kafka by topic.
    `tracing` is None unless spans are recorded.
    """

    settings: Settings
    engine: AsyncEngine
    customers: CustomerService
    ingress: WebhookReceiver
    replay: Replay
    router: PluginRouter
    broadcaster: Broadcaster
    schemas: Mapping[str, Schema]
    metrics: Metrics
    health: HealthChecks
    wake: Callable[[str], None]
    lag: Callable[[], Mapping[str, int]]
    operations: OperationFactory
    state: Callable[..., Awaitable[SystemReading]]
    tracing: "Tracing | None" = None
