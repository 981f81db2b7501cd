"""Sync events without a change for long, and whether their message still waits."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events.failed_events import FailedEvent, MessageName, failed_event
from zenskar.model.sync_event import SyncStatus

UNFINISHED = (SyncStatus.PENDING, SyncStatus.PROCESSING, SyncStatus.RETRYING)

MOVED_AT = "greatest(updated_at, coalesce(next_attempt_at, updated_at))"
"""SQL for the last change of an unfinished event, or its next attempt."""

_COLUMNS = ", ".join(f"CAST({name} AS text) AS {name}" for name in FailedEvent.__dataclass_fields__)

# The repeated condition on the status is that of a partial index.
_SCAN = text(f"""
    SELECT CAST(id AS text) AS id, {MOVED_AT} < now() - make_interval(secs => :age) AS stale
    FROM sync_events
    WHERE status NOT IN ('succeeded', 'ignored') AND status = :status
      AND id > CAST(:after AS uuid)
    ORDER BY sync_events.id LIMIT :most
""")  # noqa: S608 - no value is put into the text

_LOCK = text(f"""
    SELECT {_COLUMNS} FROM sync_events
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status IN ('pending', 'processing', 'retrying')
      AND {MOVED_AT} < now() - make_interval(secs => :age)
    ORDER BY sync_events.id FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - no value is put into the text

_OF_KEYS = text("""
    SELECT envelope FROM outbox
    WHERE (topic, key) IN (
        SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[])))
""")


@dataclass(frozen=True, slots=True)
class StaleScan:
    """Ids of events without a change, and the id to continue after; None at the end."""

    stale: tuple[str, ...]
    last: str | None


async def scan(
    db: AsyncConnection, status: SyncStatus, after: str, *, most: int, age_seconds: float
) -> StaleScan:
    """Scan at most `most` events of a status, stale or not, after an id."""
    values = {"status": status.value, "after": after, "most": most, "age": age_seconds}
    rows = (await db.execute(_SCAN, values)).all()
    stale = tuple(row.id for row in rows if row.stale)
    return StaleScan(stale, rows[-1].id if len(rows) == most else None)


async def lock(db: AsyncConnection, ids: Sequence[str], *, age_seconds: float) -> list[FailedEvent]:
    """Lock the events that are still stale until the transaction ends, and return them."""
    rows = (await db.execute(_LOCK, {"ids": list(ids), "age": age_seconds})).mappings()
    return [failed_event(dict(row)) for row in rows]


async def waiting(db: AsyncConnection, names: Sequence[MessageName]) -> set[str]:
    """Return the events with a message in the outbox."""
    values = {"topics": [name.topic for name in names], "keys": [name.key for name in names]}
    return {orjson.loads(envelope)["id"] for envelope in await db.scalars(_OF_KEYS, values)}
