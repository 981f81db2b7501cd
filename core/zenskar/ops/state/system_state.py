"""Read the state of the whole system: what waits, what is paused, who works."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import connections, outbox, polls, reconcile_runs, workers
from zenskar.db.connections import ConnectionState
from zenskar.db.events import event_counts
from zenskar.db.events.event_counts import EventCount
from zenskar.db.outbox import TopicDepth
from zenskar.db.polls import FeedState
from zenskar.db.reconcile_runs import Comparison
from zenskar.db.schema.table_sizes import table_sizes
from zenskar.sync.resilience.delete_guard import DeleteGuard

WORKER_SECONDS = 15.0
"""A worker without a heartbeat for this long counts as gone."""
MEASURED = 50_000
"""The bound of the counts for metrics, which are read less often than pages."""


@dataclass(frozen=True, slots=True)
class DeleteCount:
    """The recent deletes of a connection, and the most that its guard allows, 0 without one.

    Deletes that were received before `open_through` pass the guard; None if it is closed.
    """

    recent: int
    limit: int
    open_through: datetime | None = None


@dataclass(frozen=True, slots=True)
class SystemReading:
    """The state that all processes share.

    `deletes` holds each configured connection; `connections` also those that only the database
    knows.
    """

    connections: Mapping[str, ConnectionState]
    events: Sequence[EventCount]
    deletes: Mapping[str, DeleteCount]
    feeds: Mapping[str, FeedState]
    comparisons: Sequence[Comparison]
    workers: Mapping[str, int]
    topics: Sequence[TopicDepth]
    table_bytes: Mapping[str, int]


async def read(
    db: AsyncConnection, guards: Mapping[str, DeleteGuard], most: int = MEASURED
) -> SystemReading:
    """Return the state of the system; `guards` are the delete guards by connection.

    At most `most` events of a status, and messages of a topic, are counted.
    """
    states = await connections.states(db)
    return SystemReading(
        connections={**{name: ConnectionState(name) for name in guards}, **states},
        events=await event_counts.unfinished(db, most),
        deletes={
            name: DeleteCount(
                await connections.recent_deletes(db, name, guard.window_seconds),
                guard.limit,
                _open_through(states.get(name), guard),
            )
            for name, guard in guards.items()
        },
        feeds=await polls.read(db),
        comparisons=await reconcile_runs.results(db),
        workers=await workers.roles(db, WORKER_SECONDS),
        topics=await outbox.topics(db, most),
        table_bytes=await table_sizes(db),
    )


def _open_through(state: ConnectionState | None, guard: DeleteGuard) -> datetime | None:
    """Return the time of the release of deletes, unless its window is over."""
    released_at = None if state is None else state.deletes_released_at
    if released_at is None or not guard.limit:
        return None
    window = timedelta(seconds=guard.window_seconds)
    return released_at if datetime.now(UTC) - released_at < window else None
