"""The last known end of each partition of the bus log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

Place = tuple[str, int]
"""A topic and one of its partitions."""

_READ = text("SELECT topic, partition, end_offset, went_back FROM log_positions")

# In one order, so that two processes cannot deadlock.
_SAVE = text("""
    INSERT INTO log_positions AS p (topic, partition, end_offset, went_back)
    SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS integer[]),
                         CAST(:ends AS bigint[]), CAST(:back AS boolean[])) AS t(a, b, c, d)
    ORDER BY a, b
    ON CONFLICT (topic, partition) DO UPDATE
    SET end_offset = CASE WHEN excluded.went_back THEN excluded.end_offset
                     ELSE greatest(p.end_offset, excluded.end_offset) END,
        went_back = p.went_back OR excluded.went_back, updated_at = now()
    WHERE excluded.went_back OR excluded.end_offset > p.end_offset
""")

_FORGET = text("""
    DELETE FROM log_positions
    WHERE (topic, partition) IN (
        SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS integer[])))
""")


@dataclass(frozen=True, slots=True)
class LogPosition:
    """The offset after the last message, and whether a message came at a lower offset later."""

    end: int
    went_back: bool = False


async def read(db: AsyncConnection) -> dict[Place, LogPosition]:
    """Return all positions."""
    rows = await db.execute(_READ)
    return {(topic, partition): LogPosition(end, back) for topic, partition, end, back in rows}


async def save(db: AsyncConnection, positions: Mapping[Place, LogPosition]) -> None:
    """Store positions; only `went_back` lowers a stored offset."""
    if not positions:
        return
    places = sorted(positions)
    values = {
        "topics": [topic for topic, _ in places],
        "partitions": [partition for _, partition in places],
        "ends": [positions[place].end for place in places],
        "back": [positions[place].went_back for place in places],
    }
    await db.execute(_SAVE, values)


async def forget(db: AsyncConnection, places: Iterable[Place]) -> None:
    """Delete the positions of partitions whose log starts anew."""
    chosen = sorted(set(places))
    if chosen:
        values = {
            "topics": [topic for topic, _ in chosen],
            "partitions": [partition for _, partition in chosen],
        }
        await db.execute(_FORGET, values)
