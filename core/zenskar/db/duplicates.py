"""External objects that were taken for duplicates of a record's object."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.packing import listed, packed
from zenskar.db.driver.statements import statement

_OF_RECORDS = statement(f"""
    SELECT DISTINCT CAST(e.entity_id AS text) AS entity_id, e.external_id FROM sync_events AS e
    WHERE e.entity_id = ANY({listed("ids", "uuid")}) AND e.reason = 'duplicate'
      AND e.source_system = :source AND e.entity_type = :entity_type AND e.external_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM external_mappings AS m
                      WHERE m.external_id = e.external_id AND m.source_system = e.source_system
                        AND m.entity_type = e.entity_type)
""")  # noqa: S608 - no value is put into the text


async def of_records(
    db: AsyncConnection, source: str, entity_type: str, record_ids: Iterable[str]
) -> list[tuple[str, str]]:
    """Return records with each object that claimed them and is linked with none."""
    rows = await _OF_RECORDS.rows(
        db, source=source, entity_type=entity_type, **packed({"ids": sorted(record_ids)})
    )
    return [(row[0], row[1]) for row in rows]
