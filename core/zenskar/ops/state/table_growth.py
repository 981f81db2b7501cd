"""Store the sizes of the tables once a day, and return their growth since the oldest sizes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db import schedules
from zenskar.db.driver.engine import in_transaction
from zenskar.db.schema.table_sizes import table_sizes

_KEPT = 8
"""The stored days: a week evens out a quiet weekend."""
_SHORTEST = timedelta(hours=12)
_DAY = timedelta(days=1)


class TableSizeRecorder:
    """Stores the sizes of the tables in the state of its job."""

    NAME = "table_sizes"

    def __init__(
        self, engine: AsyncEngine, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._engine = engine
        self._now = now

    async def run(self, state: Any) -> None:
        """Add the present sizes, and drop those that are older than a week."""

        async def record(db: AsyncConnection) -> None:
            present = {"at": self._now().isoformat(), "bytes": await table_sizes(db)}
            days = [*state.get("days", ()), present][-_KEPT:]
            await schedules.save(db, self.NAME, {"days": days})

        await in_transaction(self._engine, record)


async def growth(
    db: AsyncConnection, present: Mapping[str, int], now: datetime | None = None
) -> dict[str, float]:
    """Return the bytes that each table has grown a day, by at most a week of stored sizes.

    `present` are the sizes now. A table without sizes of at least 12 hours ago is left out.
    """
    state = await schedules.state(db, TableSizeRecorder.NAME)
    return _growth(state.get("days", ()), present, now or datetime.now(UTC))


def _growth(
    days: Sequence[Mapping[str, Any]], present: Mapping[str, int], now: datetime
) -> dict[str, float]:
    found: dict[str, float] = {}
    for day in reversed(days):
        age = now - datetime.fromisoformat(day["at"])
        if age < _SHORTEST:
            continue
        for table, size in day["bytes"].items():
            if table in present:
                found[table] = (present[table] - size) / (age / _DAY)
    return found
