"""Repeat the turns of a consumer, and back off while the database or the bus is unavailable."""

import asyncio
from collections.abc import Awaitable, Callable

from zenskar.bus.port import Bus, Delivery
from zenskar.errors import ConfigurationError, Unavailable
from zenskar.sync.work.job_result import Ack, Acked, JobResult, Nack, Park
from zenskar.telemetry.logs import get_logger
from zenskar.telemetry.stack_traces import trace
from zenskar.worker.progress import Progress

_log = get_logger(__name__)
_FIRST_SECONDS, _MOST_SECONDS = 0.2, 5.0


async def run_until(
    stopping: asyncio.Event, name: str, turn: Callable[[], Awaitable[None]], progress: Progress
) -> None:
    """Take turns until `stopping` is set; back off while the database or the bus is unavailable.

    A turn with an unforeseen error is logged, counted and repeated: a consumer that died silently
    would be noticed months later. Raises `ConfigurationError`, which no waiting fixes.
    """
    pause = _FIRST_SECONDS
    while not stopping.is_set():
        try:
            await turn()
            pause = _FIRST_SECONDS
        except ConfigurationError:
            raise
        except Exception as error:
            progress.failed(name, error)
            if isinstance(error, Unavailable):
                _log.warning("consumer_waits", consumer=name, reason=str(error), seconds=pause)
            else:
                _log.error("consumer_failed", consumer=name, trace=trace(error))
            await _sleep(stopping, pause)
            pause = min(_MOST_SECONDS, pause * 2)


async def settle(bus: Bus, delivery: Delivery, result: JobResult) -> None:
    """Acknowledge, park or negatively acknowledge a delivery, as its processing asks."""
    match result:
        case Nack(seconds):
            await bus.nack([delivery], seconds)
        case Park():
            await bus.park([delivery])
        case Ack():
            await bus.ack([delivery])
        case Acked():
            bus.forget([delivery])


async def _sleep(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
