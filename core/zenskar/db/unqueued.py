"""Records without an event for a connection, and events of missing connections."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events.stale_events import MOVED_AT
from zenskar.model.fields import CUSTOMER

# A record and its events are one transaction, but ids are not exactly in the order of commits.
_SCAN = text("""
    SELECT CAST(c.id AS text) AS id, c.created_at < now() - make_interval(secs => :settle) AS old,
           c.deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM external_mappings AS m
                           WHERE m.entity_id = c.id AND m.source_system = :source)
           AND NOT EXISTS (SELECT FROM sync_events AS e
                           WHERE e.entity_id = c.id AND e.source_system = :source) AS unqueued
    FROM customers AS c WHERE c.id > CAST(:after AS uuid) ORDER BY c.id LIMIT :most
""")

_UNOWNED = text(f"""
    SELECT CAST(id AS text) AS id FROM sync_events
    WHERE status NOT IN ('succeeded', 'ignored') AND status IN ('pending', 'processing', 'retrying')
      AND NOT (source_system = ANY(CAST(:sources AS text[])))
      AND {MOVED_AT} < now() - make_interval(secs => :age)
    ORDER BY sync_events.id LIMIT :most
""")  # noqa: S608 - no value is put into the text


@dataclass(frozen=True, slots=True)
class UnqueuedScan:
    """Records that were never queued, the start of the next run, and the last id of this scan.

    `last` is None when no more records follow.
    """

    unqueued: tuple[str, ...]
    settled: str
    last: str | None


async def scan(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    after: str,
    *,
    most: int,
    settle_seconds: float,
) -> UnqueuedScan:
    """Scan at most `most` records after an id.

    Raises `LookupError` for an entity type without a table.
    """
    if entity_type != CUSTOMER.entity_type:
        raise LookupError(f"there is no table for entities of type {entity_type}")
    values = {"source": source, "after": after, "most": most, "settle": settle_seconds}
    rows = (await db.execute(_SCAN, values)).all()
    settled = after
    for row in rows:
        if not row.old:
            break
        settled = row.id
    last = rows[-1].id if len(rows) == most else None
    return UnqueuedScan(tuple(row.id for row in rows if row.unqueued), settled, last)


async def unowned(
    db: AsyncConnection, sources: Collection[str], *, age_seconds: float, most: int
) -> Sequence[str]:
    """Return unfinished events of other source systems without a change for `age_seconds`."""
    values = {"sources": list(sources), "age": age_seconds, "most": most}
    return (await db.scalars(_UNOWNED, values)).all()
