"""External objects that sync events marked as duplicates of a record's object."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_OF_RECORDS = text("""
    SELECT DISTINCT CAST(e.entity_id AS text) AS entity_id, e.external_id FROM sync_events AS e
    WHERE e.entity_id = ANY(CAST(:ids AS uuid[])) AND e.reason = 'duplicate'
      AND e.source_system = :source AND e.entity_type = :entity_type AND e.external_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM external_mappings AS m
                      WHERE m.external_id = e.external_id AND m.source_system = e.source_system
                        AND m.entity_type = e.entity_type)
""")


async def of_records(
    db: AsyncConnection, source: str, entity_type: str, record_ids: Iterable[str]
) -> list[tuple[str, str]]:
    """Return pairs of a record and an unmapped duplicate of its object."""
    values = {"source": source, "entity_type": entity_type, "ids": sorted(record_ids)}
    rows = await db.execute(_OF_RECORDS, values)
    return [(row.entity_id, row.external_id) for row in rows]
