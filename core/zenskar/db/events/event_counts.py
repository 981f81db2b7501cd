"""Count the unfinished sync events, read from one partial index."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class EventCount:
    """The sync events of a connection in one state, and the age of the oldest in seconds.

    `error_kind` is the kind of the last failure, "" without one.
    """

    source: str
    direction: str
    status: str
    error_kind: str
    count: int
    oldest_seconds: float


_UNFINISHED = text("""
    SELECT source_system AS source, direction, status, coalesce(error_kind, '') AS error_kind,
           count(*) AS count,
           CAST(extract(epoch FROM now() - min(created_at)) AS double precision) AS oldest_seconds
    FROM sync_events WHERE status NOT IN ('succeeded', 'ignored')
    GROUP BY source_system, direction, status, error_kind
""")


async def unfinished(db: AsyncConnection) -> list[EventCount]:
    """Return the counts of all unfinished sync events, dead letters included."""
    return [EventCount(**row._mapping) for row in await db.execute(_UNFINISHED)]  # noqa: SLF001 - public
