"""Deletes of external systems that wait because of the delete guard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The first condition is that of a partial index.
_WAITING = """
    FROM sync_events AS e
    WHERE e.status NOT IN ('succeeded', 'ignored') AND e.status = 'pending'
      AND e.direction = 'inbound' AND e.source_system = :name AND e.external_id IS NOT NULL
"""
# A payload may hold a NUL, which jsonb refuses.
_DELETES = """
    json_typeof(e.payload::json #> '{data,object,document}') = 'null'
    AND e.payload::json #> '{data,object,merged_into}' IS NULL
"""
_OF = f"{_WAITING} AND {_DELETES}"

_LIST = text(f"""
    SELECT CAST(e.id AS text) AS id, e.entity_type, e.external_id,
           CAST((SELECT m.entity_id FROM external_mappings AS m
                 WHERE m.external_id = e.external_id AND m.source_system = e.source_system
                   AND m.entity_type = e.entity_type) AS text) AS record_id, e.created_at
    {_OF} AND e.id > CAST(:after AS uuid) ORDER BY e.id LIMIT :most
""")  # noqa: S608 - no value is put into the text

_COUNT = text(f"SELECT count(*) {_OF}")

# The limit keeps the object apart, so each payload is parsed once.
_COUNT_OLDEST = text(f"""
    SELECT count(*) FILTER (WHERE json_typeof(object -> 'document') = 'null'
                            AND object -> 'merged_into' IS NULL) AS deletes,
           count(*) AS waiting
    FROM (SELECT e.payload::json #> '{{data,object}}' AS object {_WAITING}
          ORDER BY e.id LIMIT :most) AS e
""")  # noqa: S608 - no value is put into the text

COUNTED = 2_000
"""The parsed messages of a count."""

FIRST_ID = "00000000-0000-0000-0000-000000000000"
"""Sorts before every id."""


@dataclass(frozen=True, slots=True)
class HeldDelete:
    """A waiting delete: its sync event, the external object, and the record to delete."""

    id: str
    entity_type: str
    external_id: str
    record_id: str | None
    created_at: datetime


async def deletes(
    db: AsyncConnection, name: str, most: int, after: str = FIRST_ID
) -> Sequence[HeldDelete]:
    """Return the next waiting deletes of a paused connection, in the order of arrival."""
    values = {"name": name, "after": after, "most": most}
    return [HeldDelete(*row) for row in (await db.execute(_LIST, values)).all()]


async def count(db: AsyncConnection, name: str) -> int:
    """Return the number of waiting deletes of a paused connection."""
    return int(await db.scalar(_COUNT, {"name": name}) or 0)


async def count_oldest(db: AsyncConnection, name: str) -> tuple[int, bool]:
    """Return the number of deletes among the oldest `COUNTED` waiting events of a connection.

    The second value is whether these are all waiting deletes.
    """
    row = (await db.execute(_COUNT_OLDEST, {"name": name, "most": COUNTED + 1})).one()
    return min(row.deletes, COUNTED), row.waiting <= COUNTED
