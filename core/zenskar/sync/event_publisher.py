"""Publish inbound messages durably, also when one is too large for the bus."""

from collections.abc import Sequence

from zenskar.bus.port import Bus
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import TooLarge
from zenskar.sync.context import SyncContext
from zenskar.sync.dead_letters import UnsentMessage
from zenskar.sync.quarantine import quarantine_oversize


class EventPublisher:
    """Publishes messages together where possible."""

    def __init__(self, context: SyncContext, bus: Bus) -> None:
        self._context = context
        self._bus = bus

    async def publish(self, messages: Sequence[OutboxMessage]) -> set[str]:
        """Publish messages and return the ids of those that are too large, which are dead letters.

        Raises `Unavailable`.
        """
        if not messages:
            return set()
        try:
            await self._bus.publish(messages)
        except TooLarge:
            return {m.envelope.id for m in messages if not await self._publish_alone(m)}
        return set()

    async def _publish_alone(self, message: OutboxMessage) -> bool:
        """Dead-letter a message that is too large: its source cannot fix it and would repeat it."""
        try:
            await self._bus.publish([message])
        except TooLarge as error:
            letter = UnsentMessage(message.key, message.encode(), {"topic": message.topic})
            await quarantine_oversize(self._context, letter, str(error))
            return False
        return True
