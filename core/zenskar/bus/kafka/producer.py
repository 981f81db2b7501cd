"""A producer for Kafka: every wait has a limit, and a hanging producer is discarded.

The idempotent producer of aiokafka keeps a batch forever while its broker is unavailable, and
`stop` waits for that batch. So a send that takes too long discards the producer with its batches.
The caller gets `Unavailable`, and sends again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from zenskar.bus.kafka.errors import translated
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.log_marks import LogMarks
from zenskar.errors import TooLarge, Unavailable
from zenskar.telemetry.logs import get_logger

_OVERHEAD_BYTES = 512
_CLOSE_SECONDS = 2.0
_STEP_SECONDS = 0.05
_CHECK_SECONDS = 2.0
"""Shorter than a health check: a hanging broker is no reason to refuse requests."""
_LINGER_MS = 1
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """A record for a topic."""

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key, as Kafka's own clients choose it."""
    return (int(murmur2(key.encode())) & 0x7FFFFFFF) % partitions


class KafkaProducer:
    """Sends with acknowledgement of all in-sync replicas, without duplicates by retries."""

    def __init__(self, options: KafkaOptions, marks: LogMarks | None = None) -> None:
        self._options = options
        self._marks = marks or LogMarks()
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, records: Sequence[KafkaRecord]) -> None:
        """Send records and return when they are durable.

        Raises `TooLarge` before it sends any, `Unavailable` when some records may not be durable,
        and `ConfigurationError` when Kafka refuses this client.
        """
        for record in records:
            self._check_size(record)
        producer: AIOKafkaProducer | None = None
        before = self._marks.begin()
        try:
            async with asyncio.timeout(self._options.send_timeout_seconds):
                producer = await self._started()
                sent = [await _send(producer, record) for record in records]
                confirmed = await asyncio.gather(*sent)
            self._marks.note(before, ((one.topic, one.partition, one.offset) for one in confirmed))
        except TimeoutError:
            self._discard(producer)
            raise Unavailable("Kafka does not confirm what was sent") from None
        except (KafkaError, OSError) as error:
            self._discard(producer)
            raise translated(error) from error

    async def check(self) -> None:
        """Raise `Unavailable` unless a broker answers, `ConfigurationError` when Kafka refuses."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                producer = await self._started()
                answered = await producer.client.force_metadata_update()
        except TimeoutError:
            raise Unavailable(f"Kafka does not answer within {_CHECK_SECONDS:g} seconds") from None
        except (KafkaError, OSError) as error:
            raise translated(error) from error
        if not answered:
            raise Unavailable("Kafka does not answer")

    async def stop(self) -> None:
        """Disconnect, without waiting for unconfirmed records."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _check_size(self, record: KafkaRecord) -> None:
        headers = sum(len(name) + len(value) for name, value in record.headers.items())
        size = len(record.value) + len(record.key) + headers + _OVERHEAD_BYTES
        if size > self._options.max_message_bytes:
            raise TooLarge(
                f"a message of {size} bytes is larger than ZENSKAR_KAFKA_MAX_MESSAGE_BYTES, "
                f"{self._options.max_message_bytes}"
            )

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._options.client(),
                    acks="all",
                    enable_idempotence=True,
                    compression_type=self._options.compression,
                    linger_ms=_LINGER_MS,
                    max_request_size=self._options.max_message_bytes,
                )
                try:
                    await producer.start()
                except BaseException:
                    self._close_later(producer)
                    raise
                self._producer = producer
            return self._producer

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        """Discard a producer, unless another send has discarded it."""
        if producer is not None and producer is self._producer:
            self._producer = None
            _log.warning("producer_discarded")
            self._close_later(producer)

    def _close_later(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_close(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _send(producer: AIOKafkaProducer, record: KafkaRecord) -> "asyncio.Future[Any]":
    count = len(await producer.partitions_for(record.topic))
    future: asyncio.Future[Any] = await producer.send(
        record.topic,
        record.value,
        key=record.key.encode(),
        partition=partition_of(record.key, count),
        headers=[(name, value.encode()) for name, value in record.headers.items()],
    )
    return future


async def _close(producer: AIOKafkaProducer) -> None:
    """Stop a producer without waiting for undeliverable records.

    `AIOKafkaProducer.stop` would leave tasks that wait forever: for the batches of a stopped
    sender, and for the metadata of a closed client. So its steps run here, each with a limit.
    """
    producer._closed = True  # noqa: SLF001 - else it warns that it was not closed
    sender = producer._sender.sender_task  # noqa: SLF001 - no public method drops a batch
    if sender is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(_flush(producer), _CLOSE_SECONDS)
        sender.cancel()
    with suppress(TimeoutError, KafkaError, OSError):
        await asyncio.wait_for(producer.client.close(), _CLOSE_SECONDS)
    if sender is not None:
        with suppress(TimeoutError):
            await asyncio.wait_for(_ended(sender, producer.client), _CLOSE_SECONDS)


async def _flush(producer: AIOKafkaProducer) -> None:
    """Refuse new messages, and wait for the accepted ones."""
    with suppress(KafkaError):
        await producer._message_accumulator.close()  # noqa: SLF001 - `flush` would still accept some


async def _ended(sender: asyncio.Task[None], client: AIOKafkaClient) -> None:
    """Wait for a sender, and end its requests that wait for metadata of the closed client."""
    while not sender.done():
        waited = client._md_update_fut  # noqa: SLF001 - closing the client leaves it pending
        if waited is not None and not waited.done():
            waited.set_result(False)
        await asyncio.wait({sender}, timeout=_STEP_SECONDS)
