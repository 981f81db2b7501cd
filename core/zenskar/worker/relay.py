"""Move due messages from the outbox to the broker of the bus."""

import asyncio
from collections.abc import Sequence
from functools import partial

from zenskar.bus.port import Delivery, RelayedBus
from zenskar.errors import ConfigurationError, TooLarge, Unavailable
from zenskar.model.envelope import DEAD_LETTER, INBOUND, OUTBOUND
from zenskar.model.sync_event import Direction
from zenskar.sync.context import SyncContext
from zenskar.sync.quarantine import quarantine, quarantine_oversize
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace
from zenskar.worker.progress import Progress
from zenskar.worker.receive_loop import run_until
from zenskar.worker.strikes import Strikes

_BATCH = 500
_log = get_logger(__name__)


class Relay:
    """Moves messages; any number may run, because each key belongs to one of them at a time."""

    def __init__(self, context: SyncContext, bus: RelayedBus, progress: Progress) -> None:
        self._context = context
        self._bus = bus
        self._progress = progress
        self._strikes = Strikes()

    async def run(self, stopping: asyncio.Event) -> None:
        """Move messages until `stopping` is set."""
        topics = (OUTBOUND, INBOUND, DEAD_LETTER)
        turns = ((topic, partial(self.turn, topic)) for topic in topics)
        await asyncio.gather(
            *(run_until(stopping, f"relay {t}", turn, self._progress) for t, turn in turns)
        )

    async def turn(self, topic: str) -> None:
        """Move one batch."""
        waiting = self._bus.outbox
        deliveries = await waiting.receive(topic, _BATCH, exclusive_keys=True)
        if not deliveries:
            return
        try:
            await self._context.failpoint("relay.claimed")
            await self._move(deliveries)
            await self._context.failpoint("relay.published")
            await waiting.ack(deliveries)
        except BaseException:
            await waiting.requeue(deliveries)
            raise

    async def _move(self, deliveries: Sequence[Delivery]) -> None:
        try:
            await self._bus.forward(deliveries)
        except (Unavailable, ConfigurationError):
            raise
        except Exception:
            # A message that the broker never accepts must not hold up the others.
            for delivery in deliveries:
                await self._move_alone(delivery)

    async def _move_alone(self, delivery: Delivery) -> None:
        try:
            await self._bus.forward([delivery])
        except TooLarge as error:
            _log.error("message_too_large", topic=delivery.topic, bytes=len(delivery.value))
            if delivery.topic == DEAD_LETTER:
                await self._bus.forward_headers(delivery)
            else:
                await self._quarantine_oversize(delivery, str(error))
        except (Unavailable, ConfigurationError):
            raise
        except Exception as error:
            _log.error("relay_failed", topic=delivery.topic, trace=trace(error))
            if not self._strikes.out(delivery):
                raise
            await self._quarantine(
                delivery, f"{type(error).__name__} while it was sent to the broker"
            )

    async def _quarantine_oversize(self, delivery: Delivery, problem: str) -> None:
        try:
            await quarantine_oversize(self._context, delivery, problem)
        except Unavailable:
            raise
        except Exception as error:
            _log.error("relay_failed", topic=delivery.topic, trace=trace(error))
            await self._quarantine(delivery, problem)

    async def _quarantine(self, delivery: Delivery, problem: str) -> None:
        """Quarantine a row that cannot be sent; a dead letter is complete in its sync event."""
        if delivery.topic != DEAD_LETTER:
            direction = Direction.INBOUND if delivery.topic == INBOUND else Direction.OUTBOUND
            await quarantine(self._context, delivery, problem, direction)
