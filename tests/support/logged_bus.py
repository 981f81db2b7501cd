"""A bus with a log, without Kafka."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.support.flow import Flow
from zenskar.bus.port import Bus


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
