"""Receive inbound events from the bus, and apply a batch in one transaction if possible."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from zenskar.bus.port import Bus, Delivery
from zenskar.errors import ConfigurationError, Unavailable
from zenskar.model.envelope import INBOUND, OUTBOUND, Envelope
from zenskar.model.sync_event import Direction
from zenskar.ops.reread import UnreadableRetry
from zenskar.schema_catalog import Schema
from zenskar.sync.context import SyncContext
from zenskar.sync.inbound.apply import InboundSync
from zenskar.sync.inbound.unapplied import UnappliedEvents
from zenskar.sync.message_decoder import UnreadableMessage, read_envelope
from zenskar.sync.quarantine import quarantine
from zenskar.sync.resilience import delete_guard
from zenskar.sync.resilience.delete_guard import TooManyDeletes
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace
from zenskar.worker.key_gate import KeyGate
from zenskar.worker.progress import Progress
from zenskar.worker.receive_loop import run_until, settle
from zenskar.worker.resumption import release_if_resumed
from zenskar.worker.strikes import Strikes

_NAME = "inbound"
_BURST, _LINGER_SECONDS = 40, 0.05
_log = get_logger(__name__)


class _Read(NamedTuple):
    """A delivery, its envelope, and the source system that the envelope names."""

    delivery: Delivery
    envelope: Envelope
    source: str


class InboundConsumer:
    """Consumes `sync.inbound`."""

    def __init__(
        self,
        context: SyncContext,
        bus: Bus,
        sync: InboundSync,
        event_schema: Schema,
        progress: Progress,
        *,
        batch: int,
    ) -> None:
        self._context = context
        self._bus = bus
        self._sync = sync
        self._unapplied = UnappliedEvents(context)
        self._event_schema = event_schema
        self._progress = progress
        self._strikes = Strikes()
        self._batch = batch
        self._key_gate = KeyGate(bus, burst=_BURST)
        self._stopping: asyncio.Event | None = None
        self._not_before = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping` is set, then finish the received batches.

        While one batch waits for the database, another one is decided.
        Raises `ConfigurationError`, which no waiting fixes.
        """
        self._stopping = stopping
        self._progress.consumes(_NAME, INBOUND)
        try:
            async with asyncio.TaskGroup() as receivers:
                for _ in range(self._bus.receivers):
                    receivers.create_task(run_until(stopping, _NAME, self.turn, self._progress))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def turn(self) -> None:
        """Receive and process one batch."""
        deliveries = await self._key_gate.enter(self._receive)
        try:
            with self._progress.working(_NAME):
                await self._process(deliveries)
        except BaseException:
            await self._bus.requeue(deliveries)
            raise
        finally:
            self._key_gate.leave(deliveries)
        if _BURST <= len(deliveries) < self._batch and not self._another_waits():
            # A transaction costs the same for one event as for fifty.
            self._not_before = time.monotonic() + _LINGER_SECONDS

    def _another_waits(self) -> bool:
        """Return whether a whole batch more waits on the bus."""
        return self._bus.lag().get(INBOUND, 0) >= self._batch

    async def _receive(self) -> list[Delivery]:
        if self._stopping is not None and self._stopping.is_set():
            return []
        await asyncio.sleep(self._not_before - time.monotonic())
        return await self._bus.receive(INBOUND, self._batch, exclusive_keys=False)

    async def _process(self, deliveries: Sequence[Delivery]) -> None:
        readable = await self._read(deliveries)
        if not readable:
            return
        began = self._context.monotonic()
        open_sources = set(self._context.router.sources) - await self._unapplied.parked()
        ready = [r for r in readable if r.source in open_sources]
        held = [r for r in readable if r.source not in open_sources]
        await self._try(held, self._park)
        for source in {r.source for r in held}:
            seconds = self._context.monotonic() - began
            await release_if_resumed(self._context, INBOUND, source, seconds)
        await self._try([r for r in ready if "unread" in r.envelope.data], self._reread)
        await self._try([r for r in ready if "unread" not in r.envelope.data], self._apply)

    async def _reread(self, batch: Sequence[_Read]) -> None:
        """Read events again that could not be read before, and apply the readable ones."""
        rereader = UnreadableRetry(self._context, self._bus, self._unapplied, self._event_schema)
        for one in batch:
            envelope = await rereader.read(one.envelope, one.delivery)
            if envelope is None:
                await self._bus.ack([one.delivery])
            else:
                await self._apply([one._replace(envelope=envelope)])

    async def _park(self, waiting: Sequence[_Read]) -> None:
        """Park events whose connection is absent or held, until that changes."""
        over = await self._unapplied.park([one.envelope for one in waiting])
        ended = [one.delivery for one in waiting if one.envelope.id in over]
        await self._bus.park([one.delivery for one in waiting if one.envelope.id not in over])
        await self._bus.ack(ended)

    async def _read(self, deliveries: Sequence[Delivery]) -> list[_Read]:
        readable: list[_Read] = []
        for delivery in deliveries:
            try:
                envelope = read_envelope(delivery.value, self._event_schema, Direction.INBOUND)
                readable.append(_Read(delivery, envelope, envelope.data["source_system"]))
            except UnreadableMessage as error:
                await self._quarantine(delivery, str(error))
        return readable

    async def _quarantine(self, delivery: Delivery, problem: str) -> None:
        await quarantine(self._context, delivery, problem, Direction.INBOUND)
        await self._bus.ack([delivery])

    async def _try(
        self, batch: Sequence[_Read], process: Callable[[Sequence[_Read]], Awaitable[None]]
    ) -> None:
        if not batch:
            return
        try:
            await process(batch)
        except (Unavailable, ConfigurationError):
            raise
        except TooManyDeletes as error:
            await delete_guard.trip(self._context.engine, self._context.broadcaster, error)
            await self._bus.nack([one.delivery for one in batch], 0)
        except Exception as error:
            if len(batch) == 1:
                await self._fail_or_quarantine(batch[0], error)
                return
            # A bad event must not hold up the others: halve the batch until that event is alone.
            middle = len(batch) // 2
            await self._try(batch[:middle], process)
            await self._try(batch[middle:], process)

    async def _apply(self, batch: Sequence[_Read]) -> None:
        await self._context.failpoint("inbound.claimed")
        deliveries = [one.delivery for one in batch]
        _, followed = await self._sync.apply(
            [one.envelope for one in batch],
            within=lambda db: self._bus.ack_in(db, deliveries),
        )
        await self._context.failpoint("inbound.applied")
        if followed:
            self._context.wake(OUTBOUND)
        self._bus.forget(deliveries)
        self._measure(batch)

    def _measure(self, batch: Sequence[_Read]) -> None:
        now, seconds = datetime.now(UTC), self._context.metrics.inbound_seconds
        clocks = {source: seconds.labels(source) for source in {one.source for one in batch}}
        for one in batch:
            waited = (now - datetime.fromisoformat(one.envelope.time)).total_seconds()
            clocks[one.source].observe(max(0.0, waited))

    async def _fail_or_quarantine(self, one: _Read, error: Exception) -> None:
        """Store the failure of an event; quarantine its message when even that fails repeatedly."""
        try:
            await self._fail(one, error)
        except (Unavailable, ConfigurationError):
            raise
        except Exception as second:
            _log.error("inbound_failed", sync_event_id=one.envelope.id, trace=trace(second))
            if not self._strikes.out(one.delivery):
                raise
            await self._quarantine(one.delivery, f"{type(error).__name__} while it was processed")

    async def _fail(self, one: _Read, error: Exception) -> None:
        _log.error("inbound_failed", sync_event_id=one.envelope.id, trace=trace(error))
        result = await self._unapplied.fail(one.envelope, one.delivery, error)
        await settle(self._bus, one.delivery, result)
