"""Count the unfinished sync events, read from one partial index.

The oldest events of each status are read up to a bound, so an outage makes no reading long.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.model.sync_event import SyncStatus

COUNTED = 10_000
"""The counted events of a status. Reading as many of five statuses takes a tenth of a second."""


@dataclass(frozen=True, slots=True)
class EventCount:
    """The sync events of a connection in one state, and the age of the oldest in seconds.

    `error_kind` is the kind of the last failure, "" without one. A count is not `exact` when its
    status has more events than were read: the newest of them are not counted.
    """

    source: str
    direction: str
    status: str
    error_kind: str
    count: int
    oldest_seconds: float
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Backlog:
    """The unfinished events of a connection, and its dead letters; see `EventCount.exact`."""

    waiting: int
    oldest_seconds: float | None
    dead: int
    exact: bool


# The first condition is that of a partial index with the status and the id.
_UNFINISHED = text("""
    SELECT source_system AS source, direction, status, coalesce(error_kind, '') AS error_kind,
           count(*) AS count,
           CAST(extract(epoch FROM now() - min(created_at)) AS double precision) AS oldest_seconds
    FROM unnest(CAST(:statuses AS text[])) AS unfinished(name)
    CROSS JOIN LATERAL (
        SELECT source_system, direction, status, error_kind, created_at FROM sync_events
        WHERE status NOT IN ('succeeded', 'ignored') AND status = unfinished.name
        ORDER BY id LIMIT :most
    ) AS event
    GROUP BY source_system, direction, status, error_kind
""")
_FINISHED = (SyncStatus.SUCCEEDED, SyncStatus.IGNORED)
_STATUSES = [status.value for status in SyncStatus if status not in _FINISHED]


async def unfinished(db: AsyncConnection, most: int | None = None) -> list[EventCount]:
    """Return the counts of the unfinished sync events, dead letters included.

    The oldest `most` events of each status are counted, `COUNTED` by default.
    """
    most = COUNTED if most is None else most
    rows = await db.execute(_UNFINISHED, {"statuses": _STATUSES, "most": most})
    found = [EventCount(**row._mapping) for row in rows]  # noqa: SLF001 - public
    read: Counter[str] = Counter()
    for each in found:
        read[each.status] += each.count
    return [replace(each, exact=read[each.status] < most) for each in found]


def backlogs(counts: Sequence[EventCount], sources: Iterable[str] = ()) -> Mapping[str, Backlog]:
    """Return the backlogs of these sources, and of all others that have unfinished events.

    Where a status has more events than are counted, no number is exact, not even the zero of
    a source without a counted event.
    """
    found: dict[str, list[EventCount]] = {source: [] for source in sources}
    for each in counts:
        found.setdefault(each.source, []).append(each)
    exact = all(each.exact for each in counts)
    return {source: _backlog(own, exact=exact) for source, own in found.items()}


def _backlog(counts: Iterable[EventCount], *, exact: bool) -> Backlog:
    dead = [each for each in counts if each.status == SyncStatus.DEAD]
    waiting = [each for each in counts if each.status != SyncStatus.DEAD]
    return Backlog(
        waiting=sum(each.count for each in waiting),
        oldest_seconds=max((each.oldest_seconds for each in waiting), default=None),
        dead=sum(each.count for each in dead),
        exact=exact,
    )
