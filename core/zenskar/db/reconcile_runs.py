"""The external objects that a reconcile run has seen, those still to check, and its result."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.events.stale_events import MOVED_AT
from zenskar.model.envelope import INBOUND, OUTBOUND
from zenskar.model.fields import CUSTOMER

_SEE = text("""
    INSERT INTO survey_seen AS s (run, external_id, suspect)
    SELECT :run, t.external_id, t.suspect
    FROM unnest(CAST(:ids AS text[]), CAST(:suspects AS boolean[])) AS t(external_id, suspect)
    ON CONFLICT (run, external_id) DO UPDATE SET suspect = s.suspect OR excluded.suspect
""")

_SUSPECTS = text("""
    SELECT external_id FROM survey_seen
    WHERE run = :run AND suspect AND external_id > :after
    ORDER BY external_id LIMIT :most
""")

_COUNT_SUSPECTS = text("SELECT count(*) FROM survey_seen WHERE run = :run AND suspect")

_UNSEEN = text("""
    SELECT m.external_id FROM external_mappings AS m
    WHERE m.source_system = :source AND m.entity_type = :entity_type AND m.state = 'active'
      AND m.external_id > :after
      AND NOT EXISTS (SELECT 1 FROM survey_seen AS s
                      WHERE s.run = :run AND s.external_id = m.external_id)
    ORDER BY m.external_id LIMIT :most
""")

_UNMAPPED = text("""
    SELECT CAST(c.id AS text) AS id FROM customers AS c
    WHERE c.deleted_at IS NULL AND c.id > CAST(:after AS uuid)
      AND NOT EXISTS (SELECT 1 FROM external_mappings AS m
                      WHERE m.entity_id = c.id AND m.source_system = :source
                        AND m.entity_type = :entity_type AND m.state = 'active')
    ORDER BY c.id LIMIT :most
""")

_COUNT_LINKED = text("""
    SELECT count(*) FROM external_mappings
    WHERE source_system = :source AND entity_type = :entity_type AND state = 'active'
""")

_FORGET = text("DELETE FROM survey_seen WHERE run = :run")

# An event without a change for long is not in progress, except while its message waits. The key
# alone would find the message of a later event that has ended and is not acknowledged yet.
_MOVING = f"""({MOVED_AT} > now() - make_interval(secs => :age)
           OR EXISTS (SELECT FROM outbox AS o WHERE o.topic = :outbound
                      AND o.key = sync_events.entity_type || ':' || sync_events.entity_id
                      AND position(CAST(sync_events.id AS text) IN o.envelope) > 0))"""

# The repeated condition on the status is that of a partial index.
_UNFINISHED = """status NOT IN ('succeeded', 'ignored')
      AND status IN ('pending', 'processing', 'retrying')"""

_UNDER_WAY = text(f"""
    SELECT CAST(entity_id AS text) AS name FROM sync_events
    WHERE {_UNFINISHED} AND source_system = :source AND {_MOVING}
      AND entity_id = ANY(CAST(:records AS uuid[]))
    UNION ALL
    SELECT external_id FROM sync_events
    WHERE {_UNFINISHED} AND source_system = :source AND {_MOVING}
      AND external_id = ANY(CAST(:externals AS text[]))
    UNION ALL
    SELECT substr(key, length(:source) + 2) FROM outbox
    WHERE topic = :inbound AND key = ANY(CAST(:keys AS text[]))
""")  # noqa: S608 - no value is put into the text

_OPEN = text(f"""
    SELECT count(*) FROM sync_events
    WHERE {_UNFINISHED} AND source_system = :source AND correlation_id = :correlation_id
""")  # noqa: S608 - no value is put into the text

_SAVE_RESULT = text("""
    INSERT INTO comparisons (source_system, entity_type, found, remaining, not_read)
    VALUES (:source, :entity_type, CAST(:found AS jsonb), CAST(:remaining AS jsonb), :not_read)
    ON CONFLICT (source_system, entity_type) DO UPDATE
    SET found = excluded.found, remaining = excluded.remaining, not_read = excluded.not_read,
        ended_at = now()
""")

_RESULTS = text("""
    SELECT source_system AS source, entity_type, found, remaining, not_read,
           CAST(extract(epoch FROM ended_at) AS double precision) AS ended
    FROM comparisons
""")

FIRST_ID = "00000000-0000-0000-0000-000000000000"
"""Sorts before every id."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of the last complete run. `found` and `remaining` count differences by kind.

    `not_read` counts the objects that could not be read; `ended` is its Unix time.
    """

    source: str
    entity_type: str
    found: Mapping[str, int]
    remaining: Mapping[str, int]
    not_read: int
    ended: float


async def save_result(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    *,
    found: Mapping[str, int],
    remaining: Mapping[str, int],
    not_read: int,
) -> None:
    """Store the result of a complete run in place of the last one."""
    values = {"source": source, "entity_type": entity_type, "not_read": not_read}
    counts = {"found": dict(found), "remaining": dict(remaining)}
    await db.execute(_SAVE_RESULT, values | counts)


async def results(db: AsyncConnection) -> list[Comparison]:
    """Return the results of the last complete runs."""
    return [Comparison(**row._mapping) for row in await db.execute(_RESULTS)]  # noqa: SLF001 - public


async def see(
    db: AsyncConnection, run: str, external_ids: Collection[str], suspects: Iterable[str]
) -> None:
    """Store the seen objects, and mark the suspects that need another look."""
    ids, suspected = sorted(set(external_ids)), set(suspects)
    flags = [each in suspected for each in ids]
    await db.execute(_SEE, {"run": run, "ids": ids, "suspects": flags})


async def suspects(db: AsyncConnection, run: str, after: str, most: int) -> list[str]:
    """Return the next external ids of suspects."""
    values = {"run": run, "after": after, "most": most}
    return list(await db.scalars(_SUSPECTS, values))


async def count_suspects(db: AsyncConnection, run: str) -> int:
    """Return the number of suspects."""
    return int(await db.scalar(_COUNT_SUSPECTS, {"run": run}) or 0)


async def count_linked(db: AsyncConnection, source: str, entity_type: str) -> int:
    """Return the number of active mappings."""
    values = {"source": source, "entity_type": entity_type}
    return int(await db.scalar(_COUNT_LINKED, values) or 0)


async def unseen(
    db: AsyncConnection, run: str, source: str, entity_type: str, after: str, most: int
) -> list[str]:
    """Return the next external ids of active mappings that the run has not seen."""
    values = {
        "run": run,
        "source": source,
        "entity_type": entity_type,
        "after": after,
        "most": most,
    }
    return list(await db.scalars(_UNSEEN, values))


async def unmapped(
    db: AsyncConnection, source: str, entity_type: str, after: str, most: int
) -> list[str]:
    """Return the next ids of records without an active mapping, without deleted records.

    Raises `LookupError` for an entity type without a table.
    """
    if entity_type != CUSTOMER.entity_type:
        raise LookupError(f"there is no table for entities of type {entity_type}")
    values = {"source": source, "entity_type": entity_type, "after": after, "most": most}
    return list(await db.scalars(_UNMAPPED, values))


async def forget(db: AsyncConnection, run: str) -> None:
    """Delete the seen objects of a run."""
    await db.execute(_FORGET, {"run": run})


async def under_way(
    db: AsyncConnection,
    source: str,
    external_ids: Collection[str],
    record_ids: Collection[str],
    *,
    age_seconds: float,
) -> set[str]:
    """Return those of these external and record ids that are in progress.

    An event without a change for `age_seconds` does not count, unless its message waits.
    """
    values = {
        "source": source,
        "externals": list(external_ids),
        "records": list(record_ids),
        "keys": [f"{source}:{each}" for each in external_ids],
        "inbound": INBOUND,
        "outbound": OUTBOUND,
        "age": age_seconds,
    }
    return set(await db.scalars(_UNDER_WAY, values))


async def count_open(db: AsyncConnection, source: str, correlation_id: str) -> int:
    """Return the number of unfinished sync events of a correlation at a source system."""
    values = {"source": source, "correlation_id": correlation_id}
    return int(await db.scalar(_OPEN, values) or 0)
