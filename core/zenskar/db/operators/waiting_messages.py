"""The messages in the outbox as operators see them, and the end of one of them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class SourceDepth:
    """The messages of a topic and a connection in one state; the oldest is due since a time."""

    topic: str
    source: str
    state: str
    count: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class WaitingMessage:
    """A message in the outbox, without its content."""

    id: int
    topic: str
    key: str
    source: str
    attempts: int
    created_at: datetime
    available_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in the outbox with its content, and its state."""

    id: int
    topic: str
    key: str
    envelope: str
    attempts: int
    state: str


_STATE = """
    CASE WHEN claimed_until > now() THEN 'claimed' WHEN parked THEN 'parked'
         WHEN available_at > now() THEN 'delayed' ELSE 'due' END AS state
"""

# Bounded: a queue of millions of messages would take seconds.
_SOURCES = text(f"""
    SELECT topic, source_system AS source, state, count(*) AS count, min(due_at) AS oldest_at
    FROM (
        SELECT topic, source_system, greatest(created_at, available_at) AS due_at,
               {_STATE}
        FROM outbox ORDER BY id LIMIT :most
    ) AS message GROUP BY topic, source_system, state ORDER BY topic, source_system, state
""")  # noqa: S608 - no value is put into the text
_OLDEST = text(f"""
    SELECT id, topic, key, source_system AS source, attempts, created_at, available_at,
           {_STATE}
    FROM outbox ORDER BY id LIMIT :most
""")  # noqa: S608 - no value is put into the text
_ONE = text(f"""
    SELECT id, topic, key, envelope, attempts,
           {_STATE}
    FROM outbox WHERE id = :id
""")  # noqa: S608 - no value is put into the text
# A claim holds no lock, and its worker may be slow: a claimed message is never taken.
_TAKE = text("""
    DELETE FROM outbox
    WHERE id = :id AND (claimed_until IS NULL OR claimed_until < now())
    RETURNING id
""")


async def sources(db: AsyncConnection, most: int) -> list[SourceDepth]:
    """Return the oldest `most` messages by topic, connection and state."""
    rows = await db.execute(_SOURCES, {"most": most})
    return [SourceDepth(**row._mapping) for row in rows]  # noqa: SLF001 - public


async def oldest(db: AsyncConnection, most: int) -> list[WaitingMessage]:
    """Return the oldest `most` messages."""
    rows = await db.execute(_OLDEST, {"most": most})
    return [WaitingMessage(**row._mapping) for row in rows]  # noqa: SLF001 - public


async def read(db: AsyncConnection, message_id: int) -> StoredMessage | None:
    """Return a message with its content, None without one."""
    row = (await db.execute(_ONE, {"id": message_id})).one_or_none()
    return None if row is None else StoredMessage(**row._mapping)  # noqa: SLF001 - public


async def take(db: AsyncConnection, message_id: int) -> bool:
    """Delete a message that no process has claimed; return False for any other."""
    return await db.scalar(_TAKE, {"id": message_id}) is not None
