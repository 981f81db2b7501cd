"""The polls of feeds: the checkpoint of each connection, and the time of its last poll."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_PREFIX = "poll:"

_ADVANCE = text("""
    UPDATE schedules
    SET state = jsonb_build_object('checkpoint', CAST(:after AS text),
                                   'polled_at', state -> 'polled_at'),
        due_at = now() + make_interval(secs => :held)
    WHERE name = :name AND state ->> 'checkpoint' IS NOT DISTINCT FROM CAST(:before AS text)
    RETURNING name
""")

_END = text("""
    UPDATE schedules
    SET state = (state - 'failures') || jsonb_build_object('polled_at', extract(epoch FROM now())),
        due_at = now() + make_interval(secs => :seconds)
    WHERE name = :name
""")

_FAIL = text("""
    UPDATE schedules
    SET state = state || jsonb_build_object('failures', CAST(:failures AS integer)),
        due_at = now() + make_interval(secs => :seconds)
    WHERE name = :name
""")

_READ = text("""
    SELECT substr(name, :start) AS source,
           to_timestamp(CAST(state ->> 'polled_at' AS double precision)) AS polled_at,
           coalesce(CAST(state ->> 'failures' AS integer), 0) AS failures
    FROM schedules WHERE starts_with(name, :prefix)
""")


@dataclass(frozen=True, slots=True)
class FeedState:
    """When a feed was last read to its end, and the polls that have failed since."""

    polled_at: datetime | None
    failures: int


def schedule(source: str) -> str:
    """Return the name under which the polls of a connection are scheduled."""
    return f"{_PREFIX}{source}"


async def advance(
    db: AsyncConnection, source: str, before: str | None, after: str, *, held_seconds: float
) -> bool:
    """Move the checkpoint of a feed, and keep the poll for `held_seconds` more.

    Returns False, and moves nothing, when another process has moved the checkpoint.
    """
    values = {"name": schedule(source), "before": before, "after": after, "held": held_seconds}
    return (await db.execute(_ADVANCE, values)).first() is not None


async def end(db: AsyncConnection, source: str, *, next_in: float) -> None:
    """Note that a feed was read to its end; the next poll is due in these seconds."""
    await db.execute(_END, {"name": schedule(source), "seconds": next_in})


async def fail(db: AsyncConnection, source: str, failures: int, *, next_in: float) -> None:
    """Note the number of polls that failed in a row; the next poll is due in these seconds."""
    values = {"name": schedule(source), "failures": failures, "seconds": next_in}
    await db.execute(_FAIL, values)


async def read(db: AsyncConnection) -> dict[str, FeedState]:
    """Return the states of the feeds that were polled, by source system."""
    rows = await db.execute(_READ, {"prefix": _PREFIX, "start": len(_PREFIX) + 1})
    return {row.source: FeedState(row.polled_at, row.failures) for row in rows}
