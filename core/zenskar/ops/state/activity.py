"""The sync events of the last hour, by minute, and the last event of each connection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events import minute_counts
from zenskar.db.events.minute_counts import MinuteCount
from zenskar.model.sync_event import Direction

MINUTES = 60
_MOST = 50_000
"""The read events. Twice as many take 130 to 270 ms on two busy cores, however large the table."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The counts of the last hour by direction, a number for each minute, oldest first.

    `last` has the time of the last event by connection and direction. If the hour has more events
    than are read, it is not `complete`, and the first minutes are too low.
    """

    first: datetime
    counts: Mapping[Direction, Sequence[int]]
    last: Mapping[tuple[str, str], datetime]
    complete: bool

    @property
    def total(self) -> int:
        """The events of the hour that were read."""
        return sum(map(sum, self.counts.values()))


async def last_hour(db: AsyncConnection) -> Activity:
    """Return the activity of the last hour."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    first = now - timedelta(minutes=MINUTES - 1)
    found = await minute_counts.read(db, first, _MOST)
    return Activity(
        first=first,
        counts={each: _series(found, each, first) for each in Direction},
        last=_last(found),
        complete=sum(each.count for each in found) < _MOST,
    )


def _series(found: Sequence[MinuteCount], direction: Direction, first: datetime) -> list[int]:
    series = [0] * MINUTES
    for each in found:
        place = int((each.minute - first).total_seconds() // 60)
        if each.direction == direction and 0 <= place < MINUTES:
            series[place] += each.count
    return series


def _last(found: Sequence[MinuteCount]) -> dict[tuple[str, str], datetime]:
    last: dict[tuple[str, str], datetime] = {}
    for each in found:
        key = each.source, each.direction
        last[key] = max(each.last, last.get(key, each.last))
    return last
