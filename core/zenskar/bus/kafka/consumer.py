"""A consumer of one topic: keys in order, in parallel, offsets committed after processing."""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from zenskar.bus.kafka.errors import translated
from zenskar.bus.kafka.offset_tracker import OffsetTracker
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.records import Undecodable, fetch, fetch_one_by_one
from zenskar.bus.keyed_queue import KeyedQueue
from zenskar.bus.port import Delivery
from zenskar.errors import Unavailable, ZenskarError
from zenskar.telemetry.logs import get_logger

ATTEMPTS = "zenskar-attempts"
"""Header with the attempts of a message that was tried before."""

_FETCH_WAIT_MS = 50
"""A record may wait for a fetch of other partitions; shorter waits cost CPU without messages."""
_FETCH_BYTES = 4_000_000
"""The limit of one fetch from one broker; a larger record comes alone."""
_FETCH_RECORDS = 500
_POLL_MS = 200
_COMMIT_SECONDS = 0.5
_LIMIT_SECONDS = 5.0
_SESSION_MS = 10_000
_CAREFUL_SECONDS = 60.0
"""How long records are fetched one by one after an undecodable record."""
_ATTEMPTS_DIGITS = 6
"""Another producer may write any value into the header."""
_log = get_logger(__name__)


class _Position(NamedTuple):
    """The offset of a delivery, and the tracker of its partition."""

    offsets: OffsetTracker
    offset: int


class KafkaConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """A member of the group that consumes a topic.

    The consumer polls with paused partitions while the workers are busy, so that slow processing
    never ends its membership. The consumer holds at most `most_waiting` messages and one fetch.
    """

    def __init__(
        self, options: KafkaOptions, topic: str, *, exclusive: bool, most_waiting: int
    ) -> None:
        self._options = options
        self._topic = topic
        self._most_waiting = most_waiting
        self._queue = KeyedQueue(exclusive=exclusive)
        self._trackers: dict[TopicPartition, OffsetTracker] = {}
        self._held: set[int] = set()
        self._idle = asyncio.Event()
        self._space = asyncio.Event()
        self._changed = asyncio.Event()
        self._committing = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._careful_until = 0.0

    async def receive(self, most: int, wait_seconds: float) -> list[Delivery]:
        """Wait for messages and return them, none after `wait_seconds`.

        Raises `Unavailable` when Kafka is unavailable, and `ConfigurationError` when it refuses
        this client.
        """
        async with self._starting:
            await self._ensure_started()
        self._changed.clear()
        taken = self._queue.take(most)
        if not taken:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._changed.wait()
            taken = self._queue.take(most)
        self._held.update(id(delivery.handle) for delivery in taken)
        if len(self._queue) < self._most_waiting:
            self._space.set()
        return taken

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge processed messages; their offsets are committed soon."""
        for delivery in deliveries:
            place: _Position = delivery.handle
            place.offsets.ack(place.offset)
            self._queue.finish(delivery)
        self._release(deliveries)

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Return the messages still held to the queue, unless their partition has moved."""
        held = [delivery for delivery in deliveries if id(delivery.handle) in self._held]
        for delivery in reversed(held):
            if delivery.handle.offsets in self._trackers.values():
                self._queue.put_back(delivery)
            else:
                self._queue.finish(delivery)
        self._release(held)

    def _release(self, deliveries: Sequence[Delivery]) -> None:
        self._held.difference_update(id(delivery.handle) for delivery in deliveries)
        if not self._held:
            self._idle.set()
        self._changed.set()

    def lag(self) -> int:
        """Return the number of unprocessed records of the assigned partitions."""
        if self._consumer is None:
            return 0
        # During a rebalance, some trackers belong to partitions that are no longer assigned.
        assigned = self._consumer.assignment()
        return sum(
            max(0, (self._consumer.highwater(partition) or 0) - tracker.position)
            for partition, tracker in self._trackers.items()
            if partition in assigned
        )

    async def stop(self) -> None:
        """Commit the processed offsets and leave the group."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await self._commit(consumer)
            await _leave(consumer)
        self._forget()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Wait for messages in processing, within a limit, and commit before others take over."""
        if not revoked:
            return
        self._queue.clear()
        self._idle.clear()
        if self._held:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _LIMIT_SECONDS)
        if self._consumer is not None:
            await self._commit(self._consumer)
        self._forget()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Start at the committed offsets of the group."""
        self._forget()
        _log.info("partitions_assigned", topic=self._topic, partitions=len(assigned))

    def _forget(self) -> None:
        self._queue.clear()
        self._trackers.clear()

    async def _ensure_started(self) -> None:
        failed = [task for task in self._tasks if task.done()]
        if failed:
            error = failed[0].exception() if not failed[0].cancelled() else None
            if isinstance(error, Undecodable):
                self._careful_until = time.monotonic() + _CAREFUL_SECONDS
            await self.stop()
            raise (
                error
                if isinstance(error, ZenskarError)
                else Unavailable(f"the consumer of {self._topic} failed ({type(error).__name__})")
            )
        if self._consumer is not None:
            return
        consumer = AIOKafkaConsumer(
            **self._options.member(),
            group_id=self._options.group_of(self._topic),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_max_bytes=_FETCH_BYTES,
            max_poll_interval_ms=self._options.poll_interval_ms,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_SESSION_MS // 4,
        )
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                await consumer.start()
            # With an earlier subscription, the start would wait for partitions. After a member was
            # killed, there are none until its session ends. A start that stops waiting must join
            # again, and so must all other members.
            consumer.subscribe([self._topic], listener=self)
        except BaseException as error:
            await _leave(consumer)
            if isinstance(error, TimeoutError | KafkaError | OSError):
                raise translated(error) from error
            raise
        self._consumer = consumer
        self._tasks = [
            asyncio.create_task(self._pump(consumer), name=f"pump {self._topic}"),
            asyncio.create_task(self._commit_periodically(consumer), name=f"commit {self._topic}"),
        ]

    async def _pump(self, consumer: AIOKafkaConsumer) -> None:
        """Fetch records; poll with every partition paused while the queue is full."""
        while True:
            full = self._balance(consumer)
            if time.monotonic() < self._careful_until:
                batches = await fetch_one_by_one(consumer)
            else:
                batches = await fetch(consumer, 0 if full else _POLL_MS, _FETCH_RECORDS)
            for partition, records in batches.items():
                self._enqueue(partition, records)
            if batches:
                self._changed.set()
            elif full:
                # A poll with a timeout would still wait when the queue has space again.
                await self._wait_for_space()

    def _balance(self, consumer: AIOKafkaConsumer) -> bool:
        """Pause every partition when the queue is full; return whether it is full."""
        paused, assigned = consumer.paused(), consumer.assignment()
        full = len(self._queue) >= self._most_waiting
        if full:
            self._space.clear()
            consumer.pause(*(assigned - paused))
        elif paused:
            consumer.resume(*paused)
        return full

    async def _wait_for_space(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_MS / 1000):
                await self._space.wait()

    def _enqueue(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        offsets = self._trackers.setdefault(partition, OffsetTracker())
        deliveries = []
        for record in records:
            offsets.add(record.offset)
            deliveries.append(delivery_of(record, _Position(offsets, record.offset)))
        self._queue.put(deliveries)

    async def _commit_periodically(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self._commit(consumer)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit the processed offsets; after a refusal, other members process them again."""
        async with self._committing:
            trackers = dict(self._trackers)
            offsets = {
                partition: offset
                for partition, tracker in trackers.items()
                if (offset := tracker.to_commit) is not None
            }
            if not offsets:
                return
            try:
                async with asyncio.timeout(_LIMIT_SECONDS):
                    await consumer.commit(offsets)
            except (TimeoutError, KafkaError, OSError) as error:
                _log.warning("commit_refused", topic=self._topic, error=type(error).__name__)
                return
            for partition, offset in offsets.items():
                trackers[partition].committed(offset)


async def _leave(consumer: AIOKafkaConsumer) -> None:
    with suppress(TimeoutError, KafkaError, OSError):
        await asyncio.wait_for(consumer.stop(), _LIMIT_SECONDS)


def delivery_of(record: Any, place: _Position | None) -> Delivery:
    """Return the delivery of a record; without a place, the delivery cannot be acknowledged."""
    headers = dict[str, str]()
    if record.headers:
        headers = {
            name: (value or b"").decode("utf-8", "replace") for name, value in record.headers
        }
    tried = headers.get(ATTEMPTS, "")
    return Delivery(
        topic=record.topic,
        key=(record.key or b"").decode("utf-8", "replace"),
        value=record.value or b"",
        attempts=int(tried) if tried.isdecimal() and len(tried) <= _ATTEMPTS_DIGITS else 1,
        headers=headers,
        partition=record.partition,
        offset=record.offset,
        handle=place,
    )
