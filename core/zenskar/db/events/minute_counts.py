"""Count the latest sync events by minute, within a bound that does not grow with the table."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.ids import first_id


@dataclass(frozen=True, slots=True)
class MinuteCount:
    """The sync events of a connection in one minute and direction, and the time of the last."""

    source: str
    direction: str
    minute: datetime
    count: int
    last: datetime


_MINUTES = text("""
    WITH newest AS (
        SELECT source_system, direction, created_at FROM sync_events
        WHERE id >= CAST(:first AS uuid) ORDER BY id DESC LIMIT :most)
    SELECT source_system AS source, direction,
           date_bin('1 minute', created_at, 'epoch') AS minute,
           count(*) AS count, max(created_at) AS last
    FROM newest GROUP BY source_system, direction, date_bin('1 minute', created_at, 'epoch')
""")


async def read(db: AsyncConnection, since: datetime, most: int) -> list[MinuteCount]:
    """Return the counts since a time, of the newest `most` sync events at most."""
    rows = await db.execute(_MINUTES, {"first": first_id(since), "most": most})
    return [MinuteCount(**row._mapping) for row in rows]  # noqa: SLF001 - public
