"""The sync events that request fetches of external objects."""

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import driver

LOOK = "look"
"""The action in the type of an event that requests the fetch of an object."""

# A skipped row is being begun by a worker: its fetch may be sent before this transaction ends.
_WAITING = """
    SELECT external_id, CAST(id AS text) AS id FROM sync_events
    WHERE source_system = $1 AND external_id = ANY($2::text[])
      AND entity_id IS NULL AND external_id IS NOT NULL
      AND direction = 'outbound' AND event_type = $3
      AND (status IN ('pending', 'retrying') OR (status = 'dead' AND reason = $4))
    FOR UPDATE SKIP LOCKED
"""

_HAVE_LOOKED = """
    SELECT external_id FROM sync_events
    WHERE source_system = $1 AND external_id = ANY($2::text[])
      AND entity_id IS NULL AND external_id IS NOT NULL
      AND direction = 'outbound' AND event_type = $3
      AND (status = 'processing' OR (status = 'dead' AND reason = $4))
"""

_DEAD = """
    SELECT CAST(id AS text) AS id FROM sync_events
    WHERE source_system = $1 AND external_id = $2
      AND entity_id IS NULL AND external_id IS NOT NULL
      AND direction = 'outbound' AND event_type = $3 AND status = 'dead' AND reason = $4
    ORDER BY id FOR UPDATE
"""


async def waiting(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    external_ids: Iterable[str],
    *,
    dead_for: str | None = None,
) -> dict[str, str]:
    """Lock the events that request fetches which no worker has begun; return their ids by object.

    These include the dead letters with the reason `dead_for`, which a person may retry. No worker
    begins these fetches before the transaction ends.
    """
    names = sorted(set(external_ids))
    rows = await driver(db).fetch(_WAITING, source, names, f"{entity_type}.{LOOK}", dead_for)
    return {row["external_id"]: row["id"] for row in rows}


async def have_looked(
    db: AsyncConnection, source: str, entity_type: str, external_ids: Iterable[str], reason: str
) -> set[str]:
    """Return the objects with a fetch in progress, or with a dead letter of this reason."""
    names, look = sorted(set(external_ids)), f"{entity_type}.{LOOK}"
    rows = await driver(db).fetch(_HAVE_LOOKED, source, names, look, reason)
    return {row["external_id"] for row in rows}


async def dead(
    db: AsyncConnection, source: str, entity_type: str, external_id: str, reason: str
) -> list[str]:
    """Lock the dead letters of an object's fetches with this reason; return their ids."""
    look = f"{entity_type}.{LOOK}"
    rows = await driver(db).fetch(_DEAD, source, external_id, look, reason)
    return [row["id"] for row in rows]
