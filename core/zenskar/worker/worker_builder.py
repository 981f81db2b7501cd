"""Build the worker of a process from the parts that the process shares."""

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zenskar.bus.port import Bus, RelayedBus
from zenskar.ops.factory import OperationFactory
from zenskar.schema_catalog import Schema
from zenskar.settings import Settings
from zenskar.sync.account_check import AccountCheck
from zenskar.sync.context import SyncContext
from zenskar.sync.outbound.failure_handler import FailureHandler
from zenskar.sync.resilience.circuit_breaker import CircuitBreaker
from zenskar.worker.inbound_consumer import InboundConsumer
from zenskar.worker.jobs import upkeep
from zenskar.worker.outbound_consumer import OutboundConsumer
from zenskar.worker.parts import WorkerParts
from zenskar.worker.progress import Progress
from zenskar.worker.scheduler import Scheduler
from zenskar.worker.service import Consumer, WorkerService

if TYPE_CHECKING:
    from zenskar.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class WorkerBuilder:
    """The parts of a process that its worker uses."""

    context: SyncContext
    bus: Bus
    settings: Settings
    event_schema: Schema
    progress: Progress
    operations: OperationFactory
    tracing: "Tracing | None" = None

    def build(self, roles: Collection[str]) -> WorkerService:
        """Build the worker of these roles."""
        parts = self._parts()
        circuit_breaker = CircuitBreaker(self.context.invoker, self.context.connections)
        accounts = AccountCheck(self.context)
        consumers: dict[str, Consumer] = {
            "inbound": self._inbound(parts),
            "outbound": self._outbound(parts, circuit_breaker, accounts),
            "scheduler": self._scheduler(circuit_breaker, accounts),
        }
        if (relay := self._relay(parts)) is not None:
            consumers["relay"] = relay
        return WorkerService(
            self.context.engine,
            consumers,
            self.progress,
            roles=roles,
            grace_seconds=self.settings.shutdown_grace_seconds,
            prepare=accounts.confirm_all,
            report=lambda c: self.context.clocks.save(c, self.context.monotonic()),
        )

    def _parts(self) -> WorkerParts:
        """Return the parts of a worker; without tracing, none of them knows of spans."""
        if self.tracing is None:
            return WorkerParts()
        from zenskar.worker.traced import traced_parts

        return traced_parts(self.tracing)

    def _inbound(self, parts: WorkerParts) -> InboundConsumer:
        return InboundConsumer(
            self.context,
            self.bus,
            parts.inbound(self.context),
            self.event_schema,
            self.progress,
            batch=self.settings.inbound_batch or self.bus.batch,
        )

    def _outbound(
        self, parts: WorkerParts, circuit_breaker: CircuitBreaker, accounts: AccountCheck
    ) -> OutboundConsumer:
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        caller = parts.caller(self.context, timeout_seconds=self.settings.request_timeout_seconds)
        outbound = parts.outbound(
            self.context,
            caller,
            FailureHandler(self.context, circuit_breaker, rng),
            circuit_breaker,
            bus=self.bus,
            accounts=accounts,
        )
        return OutboundConsumer(
            self.context,
            self.bus,
            outbound,
            self.event_schema,
            self.progress,
            concurrency=self.settings.worker_concurrency,
        )

    def _scheduler(self, circuit_breaker: CircuitBreaker, accounts: AccountCheck) -> Scheduler:
        return Scheduler(
            self.context,
            circuit_breaker,
            upkeep(self.context, self.bus, self.operations, self.settings),
            self.progress,
            accounts,
            probe_seconds=self.settings.probe_seconds,
        )

    def _relay(self, parts: WorkerParts) -> Consumer | None:
        if not isinstance(self.bus, RelayedBus):
            return None
        return parts.relay(self.context, self.bus, self.progress)
