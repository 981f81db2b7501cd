"""The bus on PostgreSQL: the outbox table is the queue."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.bus.batcher import Batcher
from zenskar.bus.port import Delivery, LogRange
from zenskar.bus.postgres.notifier import Notifier
from zenskar.db import outbox
from zenskar.db.driver.engine import each_alone, in_transaction, ping
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import StateConflict, Unavailable
from zenskar.ids import new_id
from zenskar.telemetry.logs import get_logger

_BLOCKED_SECONDS = 0.25
_MOST_AT_ONCE = 200
_PARKED_SECONDS = 3600.0
"""The limit of a parking without a scheduler, which ends it much earlier."""
_log = get_logger(__name__)


@dataclass(slots=True)
class _Search:
    """The result of the last search of a topic, and the events since.

    `exhausted`: the search took every message that it could. `found`: at least one. `freed`: a
    message was deleted or released since, so that its key may have another one. `blocked`: due
    messages wait for their keys.
    """

    exhausted: bool = False
    found: bool = False
    freed: bool = False
    blocked: bool = False


class PostgresBus:
    """Claims with SKIP LOCKED, wakes with LISTEN/NOTIFY, and polls as a fallback."""

    receivers = 2
    exclusive_batches = True
    batch = 150

    def __init__(
        self, engine: AsyncEngine, notifier: Notifier, *, poll_seconds: float, lease_seconds: float
    ) -> None:
        self._engine = engine
        self._notifier = notifier
        self._poll_seconds = poll_seconds
        self._lease_seconds = lease_seconds
        self._claimer = new_id()
        self._held: dict[int, Delivery] = {}
        self._returned: set[int] = set()
        self._searches: dict[str, _Search] = defaultdict(_Search)
        self._extender: asyncio.Task[None] | None = None
        self._publishing = Batcher(self._insert, most=_MOST_AT_ONCE)
        self._finishing = Batcher(self._delete, most=_MOST_AT_ONCE)

    async def start(self) -> None:
        """Start the notifier, and the task that extends claims."""
        self._notifier.start()
        self._extender = asyncio.create_task(self._extend_claims(), name="outbox-keeper")

    async def stop(self) -> None:
        """Release the held messages, so that another process receives them at once."""
        if self._extender is not None:
            self._extender.cancel()
            await asyncio.gather(self._extender, return_exceptions=True)
        await self._notifier.stop()
        self._returned |= self._held.keys()
        self._held.clear()
        await self._release_returned()

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Write messages to the outbox; durable on return.

        Raises `Unavailable` when the database is unavailable.
        """
        await self._publishing.submit(messages)

    async def _insert(self, batches: Sequence[Sequence[OutboxMessage]]) -> Sequence[None]:
        messages = [message for batch in batches for message in batch]
        await each_alone(self._engine, lambda db: outbox.insert(db, messages))
        for topic, count in Counter(message.topic for message in messages).items():
            self._notifier.wake(topic, count)
        return [None] * len(batches)

    async def receive(self, topic: str, most: int, *, exclusive_keys: bool) -> list[Delivery]:
        """Claim due messages; after a search that took all of them, wait and return none.

        The wait ends with a wake, when a delayed message becomes due, and at the next poll.
        Raises `Unavailable` when the database is unavailable.
        """
        await self._release_returned()
        search = self._searches[topic]
        if search.exhausted and not self._notifier.is_woken(topic):
            search.exhausted = False
            if await self._waited(topic, search):
                return []
        self._notifier.clear(topic)
        search.freed = search.blocked = False
        claimed = await each_alone(
            self._engine,
            lambda db: outbox.claim(
                db,
                topic,
                claimer=self._claimer,
                most=most,
                lease_seconds=self._lease_seconds,
                by_key=exclusive_keys,
            ),
        )
        search.exhausted, search.found = len(claimed) < most, bool(claimed)
        deliveries = [_delivery(message) for message in claimed]
        self._held.update((delivery.handle, delivery) for delivery in deliveries)
        return deliveries

    async def _waited(self, topic: str, search: _Search) -> bool:
        """Wait for the next message; return False at once when one may be due."""
        due = await each_alone(self._engine, lambda db: outbox.seconds_to_next(db, topic))
        seconds = self._poll_seconds if due is None else min(self._poll_seconds, due)
        if due == 0:
            if search.found or search.freed:
                return False
            search.blocked, seconds = True, _BLOCKED_SECONDS
        await self._notifier.wait(topic, seconds)
        return True

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Delete processed messages."""
        await self._finishing.submit([delivery.handle for delivery in deliveries])
        self.forget(deliveries)

    async def ack_in(self, db: AsyncConnection, deliveries: Sequence[Delivery]) -> None:
        """Delete messages in the transaction of their changes, which then happen exactly once."""
        ids = [delivery.handle for delivery in deliveries]
        await outbox.ack(db, ids, claimer=self._claimer)

    async def _delete(self, batches: Sequence[Sequence[int]]) -> Sequence[None]:
        ids = [message_id for batch in batches for message_id in batch]
        await each_alone(self._engine, lambda c: outbox.ack(c, ids, claimer=self._claimer))
        return [None] * len(batches)

    async def nack(self, deliveries: Sequence[Delivery], delay_seconds: float) -> None:
        """Release messages, due again after a delay."""
        await self._release_at(deliveries, delay_seconds=delay_seconds)

    async def park(self, deliveries: Sequence[Delivery]) -> None:
        """Release messages, due again when their connection works."""
        await self._release_at(
            deliveries, delay_seconds=_PARKED_SECONDS, attempted=False, parked=True
        )

    async def requeue(self, deliveries: Sequence[Delivery]) -> None:
        """Release messages with the next statement; otherwise their claims expire."""
        self._returned |= self._let_go(deliveries)

    async def _release_returned(self) -> None:
        ids, self._returned = self._returned, set()
        if not ids:
            return
        try:
            await each_alone(
                self._engine,
                lambda c: outbox.nack(
                    c, list(ids), claimer=self._claimer, delay_seconds=0, attempted=False
                ),
            )
        except BaseException:
            self._returned |= ids
            raise
        self._searches.clear()

    async def _release_at(self, deliveries: Sequence[Delivery], **how: Any) -> None:
        ids = [delivery.handle for delivery in deliveries]
        await each_alone(self._engine, lambda c: outbox.nack(c, ids, claimer=self._claimer, **how))
        self.forget(deliveries)
        for topic in {delivery.topic for delivery in deliveries}:
            self._notifier.wake_here(topic)

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        """Forget deleted or released messages, and wake the receivers that wait for their keys."""
        self._let_go(deliveries)
        for topic in {delivery.topic for delivery in deliveries}:
            search = self._searches[topic]
            search.freed = True
            if search.blocked:
                self._notifier.wake_here(topic)

    def _let_go(self, deliveries: Sequence[Delivery]) -> set[int]:
        """Hold these deliveries no longer, and return the messages of those that were held.

        A message that is claimed again has another delivery, whose claim must stay.
        """
        ids = {d.handle for d in deliveries if self._held.get(d.handle) is d}
        for message_id in ids:
            del self._held[message_id]
        return ids

    def wake(self, topic: str) -> None:
        """Signal that the outbox may hold messages."""
        self._notifier.wake(topic)

    async def check(self) -> None:
        """Raise `Unavailable` unless the database answers."""
        await ping(self._engine)

    async def depth(self) -> dict[str, int]:
        """Return the number of waiting messages by topic."""
        return await in_transaction(self._engine, outbox.depth)

    async def log(self) -> Mapping[tuple[str, int], LogRange] | None:
        """Return None: this bus has no log besides the outbox."""
        return None

    async def read_at(self, _topic: str, _partition: int, _offset: int) -> Delivery | None:
        """Return None: this bus has no log."""
        return None

    def values_since(self, _topic: str, _since: datetime) -> None:
        """Return None: this bus has no log."""
        return

    async def skip(self, topic: str, _partition: int, _offset: int) -> None:
        """Raise `StateConflict`: this bus has no log."""
        raise StateConflict(f"{topic} has no partitions: its messages wait in the outbox")

    def lag(self) -> dict[str, int]:
        """Return no lag: with this bus every message is in the outbox."""
        return {}

    async def _extend_claims(self) -> None:
        """Extend claims, so that a slow external system causes no second delivery."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            if not self._held:
                continue
            try:
                await in_transaction(self._engine, self._extend)
            except Unavailable:
                _log.warning("claims_not_extended", held=len(self._held))

    async def _extend(self, db: AsyncConnection) -> None:
        await outbox.extend(
            db,
            list(self._held),
            claimer=self._claimer,
            lease_seconds=self._lease_seconds,
        )


def _delivery(message: outbox.ClaimedMessage) -> Delivery:
    return Delivery(
        message.topic,
        message.key,
        message.envelope,
        message.attempts,
        headers=message.headers,
        handle=message.id,
    )
