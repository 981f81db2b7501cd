"""Read the state of the bus: the partitions of the log, and the messages in the outbox."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.bus.port import Bus, LogRange
from zenskar.db.driver.engine import in_transaction
from zenskar.db.log_positions import Place
from zenskar.db.operators import waiting_messages
from zenskar.db.operators.waiting_messages import SourceDepth, WaitingMessage
from zenskar.errors import ConfigurationError, Unavailable
from zenskar.ops.state.message_place import OutboxPlace

MOST_COUNTED = 50_000
_LOG_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class BusState:
    """The partitions by topic and number, and the messages in the outbox.

    `problem` says why the partitions cannot be read. `depths` counts the oldest messages, all
    messages if it is `complete`; `oldest` holds the first of them.
    """

    depths: Sequence[SourceDepth]
    oldest: Sequence[WaitingMessage]
    partitions: Mapping[Place, LogRange] = field(default_factory=dict)
    problem: str = ""

    @property
    def complete(self) -> bool:
        """Whether all messages in the outbox are counted."""
        return sum(each.count for each in self.depths) < MOST_COUNTED


async def read(engine: AsyncEngine, bus: Bus, *, most: int) -> BusState:
    """Return the state of the bus, with at most `most` of the oldest messages."""

    async def load(db: AsyncConnection) -> tuple[list[SourceDepth], list[WaitingMessage]]:
        depths = await waiting_messages.sources(db, MOST_COUNTED)
        return depths, await waiting_messages.oldest(db, most)

    depths, oldest = await in_transaction(engine, load)
    try:
        async with asyncio.timeout(_LOG_SECONDS):
            found = await bus.log() or {}
    except TimeoutError:
        problem = f"Kafka does not answer within {_LOG_SECONDS:g} seconds"
        return BusState(depths, oldest, problem=problem)
    except (Unavailable, ConfigurationError) as error:
        return BusState(depths, oldest, problem=str(error))
    return BusState(depths, oldest, dict(sorted(found.items())))


def partition_rows(state: BusState) -> list[dict[str, Any]]:
    """Return the partitions as rows, in order."""
    return [
        {"place": f"{topic}/{number}", **found._asdict(), "behind": found.behind}
        for (topic, number), found in state.partitions.items()
    ]


def message_rows(state: BusState) -> list[dict[str, Any]]:
    """Return the oldest messages in the outbox as rows, with their places."""
    return [{"place": str(OutboxPlace(each.id)), **asdict(each)} for each in state.oldest]
