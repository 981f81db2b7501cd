"""How far the log of the bus had come, as this installation last knew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.statements import statement

Place = tuple[str, int]
"""A topic and one of its partitions."""

_READ = statement("SELECT topic, partition, end_offset, went_back FROM log_positions")

# In one order, so that no two processes wait for each other.
_SAVE = statement("""
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

_FORGET = statement("""
    DELETE FROM log_positions
    WHERE (topic, partition) IN (
        SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS integer[])))
""")


@dataclass(frozen=True, slots=True)
class LogPosition:
    """The offset behind the last message, and whether one came at a lower offset than another."""

    end: int
    went_back: bool = False


async def read(db: AsyncConnection) -> dict[Place, LogPosition]:
    """Return all positions."""
    rows = await _READ.rows(db)
    return {(topic, partition): LogPosition(end, back) for topic, partition, end, back in rows}


async def save(db: AsyncConnection, positions: Mapping[Place, LogPosition]) -> None:
    """Move positions on, or back where that was seen."""
    if not positions:
        return
    places = sorted(positions)
    await _SAVE.run(
        db,
        topics=[topic for topic, _ in places],
        partitions=[partition for _, partition in places],
        ends=[positions[place].end for place in places],
        back=[positions[place].went_back for place in places],
    )


async def forget(db: AsyncConnection, places: Iterable[Place]) -> None:
    """Forget positions, since what comes now begins anew."""
    chosen = sorted(set(places))
    if chosen:
        await _FORGET.run(
            db,
            topics=[topic for topic, _ in chosen],
            partitions=[partition for _, partition in chosen],
        )
