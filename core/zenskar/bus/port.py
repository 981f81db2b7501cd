"""The interface of a bus."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.outbox import OutboxMessage

ENCODING = "zenskar-encoding"
"""Header of a message that is no text and waits in base64."""


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


# Created for each message: a frozen dataclass takes twice as long to fill.
class Delivery(NamedTuple):
    """A received message, held until the bus acknowledges, releases or parks it.

    `attempts` includes this attempt. `partition` and `offset` are those of Kafka; only the bus
    reads `handle`.
    """

    topic: str
    key: str
    value: bytes
    attempts: int
    headers: Mapping[str, str] = _NO_HEADERS
    partition: int | None = None
    offset: int | None = None
    handle: Any = None

    @property
    def origin(self) -> dict[str, str]:
        """The place that the message was read from."""
        if self.offset is None:
            return {"topic": self.topic, "key": self.key}
        return {
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
        }


class LogRange(NamedTuple):
    """The first offset of a partition, the offset after its last message, and the committed one.

    `committed` is where the group continues, None without a commit. `owner` is the host of the
    worker that receives the messages, None without one.
    """

    begin: int
    end: int
    committed: int | None = None
    owner: str | None = None

    @property
    def behind(self) -> int:
        """The number of messages that the group has not processed."""
        return max(0, self.end - self.head)

    @property
    def head(self) -> int:
        """The offset of the oldest message that the group has not processed."""
        return max(self.begin, self.committed or 0)


class Bus(Protocol):
    """At-least-once messages by topic, with a key that keeps order.

    `receivers` is the number of receivers of a topic in one process: one writes its batch while
    another decides on the next. With `exclusive_batches` only one of them processes large batches,
    because other workers receive the rest. `batch` is the best number of inbound messages in a
    batch: larger batches are hardly cheaper and need more memory.
    """

    receivers: int
    exclusive_batches: bool
    batch: int

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Release the held messages and disconnect."""

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Publish messages and return when they are durable.

        Raises `Unavailable` when they are not durable, and `TooLarge`, before it publishes any,
        when the bus can never accept one of them.
        """

    async def receive(self, topic: str, most: int, *, exclusive_keys: bool) -> list[Delivery]:
        """Wait for messages and return them, none after a while.

        With `exclusive_keys` it returns one message of each key, and none of a held key.
        Raises `Unavailable` when the bus is unavailable.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge processed messages."""

    async def ack_in(self, db: AsyncConnection, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge messages in a transaction; the caller calls `forget` after the commit."""

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """Release messages whose transaction is committed."""

    async def nack(self, deliveries: Sequence[Delivery], delay_seconds: float) -> None:
        """Deliver messages again after a delay."""

    async def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver the messages still held again soon, without counting an attempt; never raises."""

    def wake(self, topic: str) -> None:
        """Signal that the outbox may hold messages. Returns at once."""

    async def park(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver messages again when their connection works, without counting an attempt."""

    async def check(self) -> None:
        """Raise `Unavailable` unless the bus accepts messages, `Degraded` when they only wait."""

    async def depth(self) -> dict[str, int]:
        """Return the number of waiting messages by topic."""

    async def log(self) -> Mapping[tuple[str, int], LogRange] | None:
        """Return the range of each partition of each topic, None for a bus without a log.

        Raises `Unavailable` when the bus is unavailable.
        """

    async def read_at(self, topic: str, partition: int, offset: int) -> Delivery | None:
        """Return the first message of the log from an offset on, None without one.

        The message is not received: it stays where it is. Raises `Unavailable` when the bus is
        unavailable.
        """

    def values_since(
        self, topic: str, since: datetime
    ) -> AsyncGenerator[Sequence[bytes], None] | None:
        """Return the messages of a topic from a time to its present end, in batches.

        No message is received: all stay where they are. Returns None for a bus without a log. The
        iteration raises `Unavailable` when the bus is unavailable.
        """

    async def skip(self, topic: str, partition: int, offset: int) -> None:
        """Continue after the message at the head of a partition, which no worker receives then.

        Raises `StateConflict` unless the message is at the head and no worker receives the topic,
        and `Unavailable` when the bus is unavailable.
        """

    def lag(self) -> dict[str, int]:
        """Return the number of messages left for this process by topic, as far as it knows."""


@runtime_checkable
class RelayedBus(Bus, Protocol):
    """A bus with a broker. Messages that the broker cannot accept now wait in the outbox.

    The relay moves them to the broker. Dead letters are messages of such a bus, too.
    """

    outbox: Bus

    async def forward(self, deliveries: Sequence[Delivery]) -> None:
        """Move messages of the outbox to the broker; durable on return.

        Raises `Unavailable` when they are not durable, `TooLarge` when the broker can never accept
        one of them, and `ConfigurationError` when the broker refuses this client.
        """

    async def forward_headers(self, delivery: Delivery) -> None:
        """Move a message without its value, because the value is too large for the broker."""
