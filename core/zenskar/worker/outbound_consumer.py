"""Receive outbound messages from the bus: many records at once, each in order."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from zenskar.bus.port import Bus, Delivery
from zenskar.errors import ConfigurationError, Unavailable
from zenskar.model.envelope import OUTBOUND
from zenskar.model.sync_event import Direction
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.message_decoder import UnreadableMessage, read_envelope
from zenskar.sync.outbound.lost_pushes import LostPushes
from zenskar.sync.outbound.push import OutboundSync
from zenskar.sync.quarantine import quarantine
from zenskar.sync.work.job_result import Nack, Park
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace
from zenskar.worker.progress import Progress
from zenskar.worker.receive_loop import run_until, settle
from zenskar.worker.resumption import release_if_resumed
from zenskar.worker.strikes import Strikes

_NAME = "outbound"
_FAILED_SECONDS = 5.0
_UNAVAILABLE_SECONDS = 1.0
_log = get_logger(__name__)


class OutboundConsumer:
    """Consumes `sync.outbound`."""

    def __init__(
        self,
        context: SyncContext,
        bus: Bus,
        sync: OutboundSync,
        event_schema: Schema,
        progress: Progress,
        *,
        concurrency: int,
    ) -> None:
        self._context = context
        self._bus = bus
        self._sync = sync
        self._event_schema = event_schema
        self._progress = progress
        self._strikes = Strikes()
        self._concurrency = concurrency
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping` is set, then finish the calls in progress."""
        self._progress.consumes(_NAME, OUTBOUND)
        try:
            await self._resolve_lost_pushes()
            await run_until(stopping, _NAME, self.turn, self._progress)
            if self._running:
                await asyncio.wait(self._running)
        finally:
            await self._cut_off()

    async def _resolve_lost_pushes(self) -> None:
        """Resolve the pushes that an earlier process left open, even without a scheduler."""
        try:
            await LostPushes(self._context).run()
        except Unavailable as error:
            _log.warning("outbound_interrupted", reason=str(error))

    async def turn(self) -> None:
        """Receive as many messages as there are free lanes, and start to process them."""
        while len(self._running) >= self._concurrency:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        free = self._concurrency - len(self._running)
        for delivery in await self._bus.receive(OUTBOUND, free, exclusive_keys=True):
            self._start(self._handle(delivery))

    async def _cut_off(self) -> None:
        """Cancel the calls in progress after the grace period; the next receiver resolves them."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, delivery: Delivery) -> None:
        """Process a delivery; the next receiver of an interrupted one resolves its push."""
        try:
            with self._progress.working(_NAME):
                await self._process_or_nack(delivery)
        except (Unavailable, ConfigurationError) as error:
            self._progress.failed(_NAME, error)
            _log.warning("outbound_interrupted", reason=str(error))
            await asyncio.sleep(_UNAVAILABLE_SECONDS)
        except Exception as error:
            self._progress.failed(_NAME, error)
            _log.error("outbound_failed", trace=trace(error))
            await asyncio.sleep(_UNAVAILABLE_SECONDS)
        finally:
            await self._bus.requeue([delivery])

    async def _process_or_nack(self, delivery: Delivery) -> None:
        try:
            await self._process(delivery)
        except (Unavailable, ConfigurationError):
            raise
        except Exception as error:
            self._progress.failed(_NAME, error)
            _log.error("outbound_failed", trace=trace(error))
            if not self._strikes.out(delivery):
                await self._bus.nack([delivery], _FAILED_SECONDS)
                return
            problem = f"{type(error).__name__} while it was processed"
            await self._sync.dead_letter(delivery, self._event_schema, problem)
            await self._bus.ack([delivery])

    async def _process(self, delivery: Delivery) -> None:
        try:
            envelope = read_envelope(delivery.value, self._event_schema, Direction.OUTBOUND)
        except UnreadableMessage as error:
            await quarantine(self._context, delivery, str(error), Direction.OUTBOUND)
            await self._bus.ack([delivery])
            return
        structlog.contextvars.bind_contextvars(correlation_id=envelope.correlation_id)
        await self._context.failpoint("outbound.claimed")
        began = self._context.monotonic()
        result = await self._sync.process(envelope, delivery)
        await self._context.failpoint("outbound.decided")
        await settle(self._bus, delivery, result)
        if isinstance(result, Nack | Park):
            source, seconds = envelope.data["source_system"], self._context.monotonic() - began
            await release_if_resumed(self._context, OUTBOUND, source, seconds)
