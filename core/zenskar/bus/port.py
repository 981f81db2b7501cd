"""What every bus offers."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.outbox import OutboxMessage

ENCODING = "zenskar-encoding"
"""Header of a message that is no text, and so waits in base64."""


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


# One is made for each message: a frozen dataclass takes twice as long to fill.
class Delivery(NamedTuple):
    """A received message, held until it is let go in one of the ways that the bus offers.

    `attempts` counts this one. `partition` and `offset` are Kafka's; `handle` is the bus's own.
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
        """Where exactly it was read."""
        if self.offset is None:
            return {"topic": self.topic, "key": self.key}
        return {
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
        }


class LogRange(NamedTuple):
    """What a partition holds: its first offset, the one behind its last, and what is read.

    `committed` is where its group goes on, None when it never came so far.
    """

    begin: int
    end: int
    committed: int | None = None

    @property
    def behind(self) -> int:
        """How many messages its group has still to do."""
        return max(0, self.end - max(self.begin, self.committed or 0))


class Bus(Protocol):
    """At-least-once messages by topic, with a key that keeps order.

    `hands` is how many may receive a topic in one process at once: what one has taken is written
    while another is decided on. With `crowds_alone` only one of them is at work while there is a
    crowd, because other workers take what it leaves. `batch` is how many inbound messages are best
    worked off together: more are hardly cheaper, and are in memory all at once.
    """

    receivers: int
    exclusive_batches: bool
    batch: int

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Give back what is held and disconnect."""

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Return once the messages are durable; raise `Unavailable` when they are not.

        Raises `TooLarge` before anything is published when the bus can never take one of them.
        """

    async def receive(self, topic: str, most: int, *, exclusive_keys: bool) -> list[Delivery]:
        """Wait for messages and return them, none when the wait was long.

        With `exclusive_keys` no message is returned whose key is held by somebody, and one of
        each key.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Let go of messages whose work is done."""

    async def ack_in(self, db: AsyncConnection, deliveries: Sequence[Delivery]) -> None:
        """Make it part of a transaction that these messages' work is done; then `release` them."""

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """Let go of messages whose transaction is committed."""

    async def nack(self, deliveries: Sequence[Delivery], delay_seconds: float) -> None:
        """Have messages delivered again after a while."""

    async def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Have those still held delivered again soon, whatever is away; count no attempt."""

    def wake(self, topic: str) -> None:
        """Say that there may be messages in the outbox. Returns at once."""

    async def park(self, deliveries: Sequence[Delivery]) -> None:
        """Have messages delivered again when their connection works, and count no attempt."""

    async def check(self) -> None:
        """Raise `Unavailable` unless the bus takes messages, `Degraded` when they only wait."""

    async def depth(self) -> dict[str, int]:
        """Return how many messages wait, by topic."""

    async def log(self) -> Mapping[tuple[str, int], LogRange] | None:
        """Return what each partition of each topic holds; None: this bus has no log.

        Raises `Unavailable`.
        """

    def lag(self) -> dict[str, int]:
        """Return how many messages this process has still to do, by topic, as far as it knows."""
