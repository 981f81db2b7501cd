"""Consumes one topic: each key in order, keys beside each other, offsets when work is done."""

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
"""Header of a message that was tried before."""

_FETCH_WAIT_MS = 50
"""A record may have to wait for a fetch that asks for other partitions only; idle ones cost CPU."""
_FETCH_BYTES = 4_000_000
"""Of one broker at once; a record that is larger comes alone."""
_FETCH_RECORDS = 500
_POLL_MS = 200
_COMMIT_SECONDS = 0.5
_BOUND_SECONDS = 5.0
_SESSION_MS = 10_000
_CAREFUL_SECONDS = 60.0
"""So long records are fetched one by one after one that could not be decoded."""
_ATTEMPTS_DIGITS = 6
"""Whoever writes a header may write anything into it."""
_log = get_logger(__name__)


class _Position(NamedTuple):
    """Where a delivery was read, and the watermark that it holds down."""

    offsets: OffsetTracker
    offset: int


class KafkaConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the group that consumes a topic.

    It goes on polling while everything is busy, with its partitions paused, so that slow work
    never costs it its membership. At most `most_waiting` messages and one fetch are held.
    """

    def __init__(
        self, options: KafkaOptions, topic: str, *, exclusive: bool, most_waiting: int
    ) -> None:
        self._options = options
        self._topic = topic
        self._most_waiting = most_waiting
        self._queue = KeyedQueue(exclusive=exclusive)
        self._watermarks: dict[TopicPartition, OffsetTracker] = {}
        self._working: set[int] = set()
        self._idle = asyncio.Event()
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._committing = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._careful_until = 0.0

    async def receive(self, most: int, wait_seconds: float) -> list[Delivery]:
        """Wait for messages and return them, none when the wait was long.

        Raises `Unavailable` when Kafka is away, `ConfigurationError` when it refuses this client.
        """
        async with self._starting:
            await self._ensure_started()
        self._news.clear()
        taken = self._queue.take(most)
        if not taken:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._news.wait()
            taken = self._queue.take(most)
        self._working.update(id(delivery.handle) for delivery in taken)
        if len(self._queue) < self._most_waiting:
            self._room.set()
        return taken

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Let go of messages whose work is done; their offsets are committed soon."""
        for delivery in deliveries:
            place: _Position = delivery.handle
            place.offsets.ack(place.offset)
            self._queue.finish(delivery)
        self._let_go(deliveries)

    def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Have those still held received again, in this process unless another one takes over."""
        held = [delivery for delivery in deliveries if id(delivery.handle) in self._working]
        for delivery in reversed(held):
            if delivery.handle.offsets in self._watermarks.values():
                self._queue.put_back(delivery)
            else:
                self._queue.finish(delivery)
        self._let_go(held)

    def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        self._working.difference_update(id(delivery.handle) for delivery in deliveries)
        if not self._working:
            self._idle.set()
        self._news.set()

    def lag(self) -> int:
        """Return how many records of the assigned partitions are not done."""
        if self._consumer is None:
            return 0
        # While partitions move, some are remembered that are no longer ours.
        assigned = self._consumer.assignment()
        return sum(
            max(0, (self._consumer.highwater(partition) or 0) - mark.position)
            for partition, mark in self._watermarks.items()
            if partition in assigned
        )

    async def stop(self) -> None:
        """Commit what is done and leave the group."""
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
        """Finish what is under way, within bounds, and commit it before others take over."""
        if not revoked:
            return
        self._queue.clear()
        self._idle.clear()
        if self._working:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _BOUND_SECONDS)
        if self._consumer is not None:
            await self._commit(self._consumer)
        self._forget()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Begin where the group has committed."""
        self._forget()
        _log.info("partitions_assigned", topic=self._topic, partitions=len(assigned))

    def _forget(self) -> None:
        self._queue.clear()
        self._watermarks.clear()

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
            **self._options.client(),
            group_id=f"{self._options.group}.{self._topic}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_max_bytes=_FETCH_BYTES,
            max_poll_interval_ms=self._options.poll_interval_ms,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_SESSION_MS // 4,
        )
        try:
            async with asyncio.timeout(_BOUND_SECONDS):
                await consumer.start()
            # Subscribed before, the start would wait for partitions. After a member was killed
            # there are none until its session has ended, and who gives up before that has to
            # join again, for which all others have to do so too.
            consumer.subscribe([self._topic], listener=self)
        except BaseException as error:
            await _leave(consumer)
            if isinstance(error, TimeoutError | KafkaError | OSError):
                raise translated(error) from error
            raise
        self._consumer = consumer
        self._tasks = [
            asyncio.create_task(self._pump(consumer), name=f"pump {self._topic}"),
            asyncio.create_task(self._commit_often(consumer), name=f"commit {self._topic}"),
        ]

    async def _pump(self, consumer: AIOKafkaConsumer) -> None:
        """Fetch; when enough is waiting, poll with every partition paused."""
        while True:
            full = self._balance(consumer)
            if time.monotonic() < self._careful_until:
                batches = await fetch_one_by_one(consumer)
            else:
                batches = await fetch(consumer, 0 if full else _POLL_MS, _FETCH_RECORDS)
            for partition, records in batches.items():
                self._take_in(partition, records)
            if batches:
                self._news.set()
            elif full:
                # A poll that waits would go on waiting when there is room again.
                await self._wait_for_room()

    def _balance(self, consumer: AIOKafkaConsumer) -> bool:
        """Pause every partition when enough is waiting; return whether it is."""
        paused, assigned = consumer.paused(), consumer.assignment()
        full = len(self._queue) >= self._most_waiting
        if full:
            self._room.clear()
            consumer.pause(*(assigned - paused))
        elif paused:
            consumer.resume(*paused)
        return full

    async def _wait_for_room(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_MS / 1000):
                await self._room.wait()

    def _take_in(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        offsets = self._watermarks.setdefault(partition, OffsetTracker())
        deliveries = []
        for record in records:
            offsets.add(record.offset)
            deliveries.append(_delivery(record, _Position(offsets, record.offset)))
        self._queue.put(deliveries)

    async def _commit_often(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self._commit(consumer)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Commit what is done. A refusal means that others have taken over: they work it again."""
        async with self._committing:
            marks = dict(self._watermarks)
            offsets = {
                partition: offset
                for partition, mark in marks.items()
                if (offset := mark.to_commit) is not None
            }
            if not offsets:
                return
            try:
                async with asyncio.timeout(_BOUND_SECONDS):
                    await consumer.commit(offsets)
            except (TimeoutError, KafkaError, OSError) as error:
                _log.warning("commit_refused", topic=self._topic, error=type(error).__name__)
                return
            for partition, offset in offsets.items():
                marks[partition].committed(offset)


async def _leave(consumer: AIOKafkaConsumer) -> None:
    with suppress(TimeoutError, KafkaError, OSError):
        await asyncio.wait_for(consumer.stop(), _BOUND_SECONDS)


def _delivery(record: Any, place: _Position) -> Delivery:
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
