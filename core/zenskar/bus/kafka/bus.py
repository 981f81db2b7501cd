"""The bus on Apache Kafka, with the outbox for messages that Kafka cannot accept now.

Kafka delivers messages at least once; the database makes sure that they take effect once.
"""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.bus.kafka.consumer import ATTEMPTS, KafkaConsumer
from zenskar.bus.kafka.history import values_since
from zenskar.bus.kafka.log import read_log
from zenskar.bus.kafka.log_head import read_at, skip
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.producer import KafkaProducer, KafkaRecord
from zenskar.bus.kafka.topics import ensure_topics
from zenskar.bus.log_marks import LogMarks
from zenskar.bus.port import ENCODING, Delivery, LogRange
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.db import outbox
from zenskar.db.driver.engine import in_transaction
from zenskar.db.outbox import OutboxMessage, OutboxRow
from zenskar.errors import ConfigurationError, Degraded, Unavailable
from zenskar.telemetry.logs import get_logger

_TOPICS_SECONDS = 5.0
_SPOOL_SECONDS = 2.0
_PARKED_SECONDS = 3600.0
_WAITING = 3200
_log = get_logger(__name__)


class KafkaBus:
    """Publishes to Kafka, or to the outbox without Kafka; delays and parks in the outbox."""

    receivers = 4
    exclusive_batches = False
    batch = 800

    def __init__(
        self,
        options: KafkaOptions,
        waiting: PostgresBus,
        engine: AsyncEngine,
        *,
        poll_seconds: float,
    ) -> None:
        self.outbox = waiting
        self._options = options
        self._engine = engine
        self._poll_seconds = poll_seconds
        self._marks = LogMarks()
        self._marking: asyncio.Task[None] | None = None
        self._producer = KafkaProducer(options, self._marks)
        self._consumers: dict[str, KafkaConsumer] = {}
        self._spool_until = 0.0
        self._topics_known = False

    async def start(self) -> None:
        """Start the outbox and create the topics; later when Kafka is unavailable.

        Raises `ConfigurationError` when a topic is missing or Kafka refuses this client.
        """
        await self.outbox.start()
        self._marking = asyncio.create_task(self._marks.keep(self._engine), name="log-marks")
        try:
            await self._ensure_topics()
        except Unavailable as error:
            _log.warning("kafka_away", reason=str(error))
            self._spool_until = time.monotonic() + _SPOOL_SECONDS

    async def stop(self) -> None:
        """Commit, leave the groups and disconnect, within time limits."""
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers.values()))
        await self._producer.stop()
        if self._marking is not None:
            self._marking.cancel()
            await asyncio.gather(self._marking, return_exceptions=True)
            await self._marks.save(self._engine)
        await self.outbox.stop()

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Write messages to Kafka or, without Kafka, to the outbox; durable on return.

        Raises `TooLarge` for a message that Kafka never accepts, and `Unavailable` when the
        database is unavailable, too.
        """
        if not self._may_try_kafka() or not await self._sent(messages):
            await self.outbox.publish(messages)

    def _may_try_kafka(self) -> bool:
        """Return whether to try Kafka; after a failure, one caller at a time tries."""
        now = time.monotonic()
        if now < self._spool_until:
            return False
        if self._spool_until:
            self._spool_until = now + self._options.send_timeout_seconds + _SPOOL_SECONDS
        return True

    async def _sent(self, messages: Sequence[OutboxMessage]) -> bool:
        try:
            await self._send([KafkaRecord(m.topic, m.key, m.encode()) for m in messages])
        except (Unavailable, ConfigurationError) as error:
            self._spool_until = time.monotonic() + _SPOOL_SECONDS
            _log.warning("messages_spooled", reason=str(error))
            return False
        self._spool_until = 0.0
        return True

    async def forward(self, deliveries: Sequence[Delivery]) -> None:
        """Move messages of the outbox to Kafka; durable on return.

        Raises `Unavailable`, `TooLarge` and `ConfigurationError` as the producer does.
        """
        await self._send([_forwarded(delivery) for delivery in deliveries])

    async def forward_headers(self, delivery: Delivery) -> None:
        """Move a message without its value, because the value is too large for Kafka."""
        headers = dict(_forwarded(delivery).headers) | {"zenskar-value": "too large"}
        await self._send([KafkaRecord(delivery.topic, delivery.key, b"", headers)])

    async def receive(self, topic: str, most: int, *, exclusive_keys: bool) -> list[Delivery]:
        """Return messages of this group's partitions, in the order of each key.

        Raises `Unavailable` and `ConfigurationError` as the consumer does.
        """
        await self._ensure_topics()
        consumer = self._consumers.get(topic)
        if consumer is None:
            consumer = self._consumers[topic] = KafkaConsumer(
                self._options, topic, exclusive=exclusive_keys, most_waiting=_WAITING
            )
        return await consumer.receive(most, self._poll_seconds)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge messages."""
        self.forget(deliveries)

    async def ack_in(self, _connection: AsyncConnection, _deliveries: Sequence[Delivery]) -> None:
        """Do nothing: a second delivery is recognized by its sync event."""

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """Release messages; their offsets are committed soon."""
        for topic in {delivery.topic for delivery in deliveries}:
            self._consumers[topic].ack([d for d in deliveries if d.topic == topic])

    async def nack(self, deliveries: Sequence[Delivery], delay_seconds: float) -> None:
        """Write messages to the outbox, which delivers them again after a delay."""
        await self._store([_row(d, attempts=d.attempts, delay=delay_seconds) for d in deliveries])
        await self.ack(deliveries)

    async def park(self, deliveries: Sequence[Delivery]) -> None:
        """Write messages to the outbox, which delivers them again when their connection works."""
        await self._store(
            [
                _row(d, attempts=d.attempts - 1, delay=_PARKED_SECONDS, parked=True)
                for d in deliveries
            ]
        )
        await self.ack(deliveries)

    async def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Return messages to their queue, without writing anything that could fail."""
        for topic in {delivery.topic for delivery in deliveries}:
            self._consumers[topic].requeue([d for d in deliveries if d.topic == topic])

    def wake(self, topic: str) -> None:
        """Signal that the outbox may hold messages."""
        self.outbox.wake(topic)

    async def check(self) -> None:
        """Raise `Degraded` while messages wait in the outbox for Kafka."""
        await self.outbox.check()
        try:
            await self._producer.check()
        except (Unavailable, ConfigurationError) as error:
            raise Degraded(f"{error}; messages wait in the database") from error

    async def depth(self) -> dict[str, int]:
        """Return the number of messages in the outbox by topic."""
        return await self.outbox.depth()

    async def log(self) -> Mapping[tuple[str, int], LogRange] | None:
        """Return the range of each partition, its committed offset, and its owner."""
        await self._ensure_topics()
        return await read_log(self._options)

    async def read_at(self, topic: str, partition: int, offset: int) -> Delivery | None:
        """Return the first message of a partition from an offset on, None without one."""
        await self._ensure_topics()
        return await read_at(self._options, topic, partition, offset)

    def values_since(self, topic: str, since: datetime) -> AsyncGenerator[list[bytes], None]:
        """Return the messages of a topic from a time to its present end, in batches."""
        return values_since(self._options, topic, since)

    async def skip(self, topic: str, partition: int, offset: int) -> None:
        """Commit the offset after the message at the head, while the group has no member."""
        await self._ensure_topics()
        await skip(self._options, topic, partition, offset)

    def lag(self) -> dict[str, int]:
        """Return the number of unprocessed records of this process by topic."""
        return {topic: consumer.lag() for topic, consumer in self._consumers.items()}

    async def _send(self, records: Sequence[KafkaRecord]) -> None:
        await self._ensure_topics()
        try:
            await self._producer.send(records)
        except Unavailable:
            # A topic may be deleted.
            self._topics_known = False
            raise

    async def _ensure_topics(self) -> None:
        if not self._topics_known:
            await ensure_topics(self._options, timeout_seconds=_TOPICS_SECONDS)
            self._topics_known = True

    async def _store(self, rows: Sequence[OutboxRow]) -> None:
        await in_transaction(self._engine, lambda c: outbox.insert_rows(c, rows))


def _forwarded(delivery: Delivery) -> KafkaRecord:
    """Return the record of a message; a dead letter has headers, and may be in base64."""
    headers = dict(delivery.headers)
    value = delivery.value
    if headers.pop(ENCODING, None) is not None:
        value = base64.b64decode(value)
    if delivery.attempts > 1:
        headers.setdefault(ATTEMPTS, str(delivery.attempts))
    return KafkaRecord(delivery.topic, delivery.key, value, headers)


def _row(delivery: Delivery, *, attempts: int, delay: float, parked: bool = False) -> OutboxRow:
    source = orjson.loads(delivery.value)["data"]["source_system"]
    return OutboxRow(
        delivery.topic,
        delivery.key,
        source,
        delivery.value.decode(),
        delay=delay,
        attempts=attempts,
        parked=parked,
    )
