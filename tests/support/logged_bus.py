"""A bus with a log, without Kafka, and what repeats its deletes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.support.flow import Flow
from zenskar.bus.port import Bus
from zenskar.model.actor import Actor
from zenskar.ops.recover import RecordDeleter


@dataclass
class LoggedBus:
    """A bus whose log has these batches of messages; all else is done by another bus."""

    bus: Bus
    batches: Sequence[Sequence[bytes]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bus, name)

    async def values_since(
        self, _topic: str, _since: datetime
    ) -> AsyncGenerator[Sequence[bytes], None]:
        """Return the messages, whatever their time."""
        for batch in self.batches:
            yield batch


async def waiting_values(flow: Flow) -> list[bytes]:
    """Return the messages in the outbox in their order."""
    rows = await flow.rows("SELECT envelope FROM outbox ORDER BY id")
    return [row["envelope"].encode() for row in rows]


async def restore(flow: Flow) -> None:
    """Bring all customers back, as a backup from before their deletes."""
    async with flow.runtime.engine.begin() as db:
        await db.exec_driver_sql("UPDATE customers SET deleted_at = NULL, version = 1")
        await db.exec_driver_sql("DELETE FROM outbox")


@dataclass
class GatedDeleter:
    """Deletes so many records, and then waits until it is opened."""

    delete: RecordDeleter
    after: int
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, record_id: str, /, *, correlation_id: str, by: Actor) -> None:
        """Delete a record."""
        if self.after == 0:
            self.reached.set()
            await self.opened.wait()
        self.after -= 1
        await self.delete(record_id, correlation_id=correlation_id, by=by)
