"""The calls that all processes together made at each connection, by limit."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class CallCount:
    """The stored calls of one limit at the time `now`; see `CallWindow` for `slot` and `taken`.

    `calls` is the limit. `others` are calls of other applications, which the external system
    reported, and `reported_calls` is the limit that it reported, both until `reported_until`.
    `held_until` is the end of a rate limit of this endpoint. Times are in Unix seconds of the
    database.
    """

    name: str
    seconds: float
    calls: int
    slot: int
    taken: tuple[int, ...]
    others: int
    reported_calls: int | None
    reported_until: float
    held_until: float
    now: float

    @property
    def held_seconds(self) -> float:
        """The seconds for which the endpoint is held back."""
        return max(0.0, self.held_until - self.now)


_COLUMNS = """
    name, seconds, calls, slot, taken, others, reported_calls,
    coalesce(CAST(extract(epoch FROM reported_until) AS double precision), 0),
    coalesce(CAST(extract(epoch FROM held_until) AS double precision), 0),
    CAST(extract(epoch FROM clock_timestamp()) AS double precision)
"""

# An update, so that the rows are locked until the transaction ends. All callers lock in one order.
_LOCK = text(f"""
    INSERT INTO call_limits (source_system, name, seconds, calls)
    SELECT :source, w.name, w.seconds, w.calls
    FROM unnest(CAST(:names AS text[]), CAST(:seconds AS double precision[]),
                CAST(:calls AS integer[])) AS w(name, seconds, calls)
    ORDER BY w.name, w.seconds
    ON CONFLICT (source_system, name, seconds) DO UPDATE SET calls = excluded.calls
    RETURNING {_COLUMNS}
""")  # noqa: S608 - constant text

_SAVE = text("""
    UPDATE call_limits
    SET slot = :slot, taken = CAST(:taken AS integer[]), others = :others,
        reported_calls = CAST(:reported_calls AS integer),
        reported_until = to_timestamp(CAST(:reported_until AS double precision)),
        updated_at = now()
    WHERE source_system = :source AND name = :name AND seconds = :period
""")

_HOLD = text("""
    UPDATE call_limits
    SET held_until = greatest(held_until, now() + make_interval(secs => :seconds))
    WHERE source_system = :source AND name = :name
""")

_FORGET = text("DELETE FROM call_limits WHERE source_system = :source")

_READ = text(
    f"SELECT source_system, held_until, {_COLUMNS} FROM call_limits"  # noqa: S608 - constant text
    " ORDER BY source_system, name, seconds"
)


async def lock(
    db: AsyncConnection, source: str, limits: Sequence[tuple[str, float, int]]
) -> list[CallCount]:
    """Return the counts of limits, and keep other processes from them until the commit.

    A limit is given by its name, its period in seconds and its number of calls.
    """
    names, seconds, calls = (list(column) for column in zip(*limits, strict=True))
    values = {"source": source, "names": names, "seconds": seconds, "calls": calls}
    return [_count(row) for row in await db.execute(_LOCK, values)]


async def save(db: AsyncConnection, source: str, count: CallCount) -> None:
    """Store a locked count."""
    values = {
        "source": source,
        "name": count.name,
        "period": count.seconds,
        "slot": count.slot,
        "taken": list(count.taken),
        "others": count.others,
        "reported_calls": count.reported_calls,
        "reported_until": count.reported_until,
    }
    await db.execute(_SAVE, values)


async def hold(db: AsyncConnection, source: str, name: str, seconds: float) -> None:
    """Stop the calls of one endpoint, in every process, for `seconds` or until a resumption."""
    await db.execute(_HOLD, {"source": source, "name": name, "seconds": seconds})


async def forget(db: AsyncConnection, source: str) -> None:
    """Delete the counts and the holds of a connection, so that its calls begin anew."""
    await db.execute(_FORGET, {"source": source})


async def read(db: AsyncConnection) -> dict[str, list[tuple[CallCount, datetime | None]]]:
    """Return the counts by source system, each with the end of its hold."""
    found: dict[str, list[tuple[CallCount, datetime | None]]] = defaultdict(list)
    for source, held_until, *rest in await db.execute(_READ):
        count = _count(rest)
        found[source].append((count, held_until if count.held_seconds else None))
    return dict(found)


def _count(row: Sequence[object]) -> CallCount:
    name, seconds, calls, slot, taken, *rest = row
    return CallCount(name, seconds, calls, slot, tuple(taken), *rest)  # type: ignore[arg-type]
