"""External mappings."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from asyncpg import Record
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import driver
from zenskar.model.coverage import Coverage
from zenskar.model.fields import Fields
from zenskar.model.interval import Interval
from zenskar.model.record import ExternalMapping, MappingState

_STATES = MappingProxyType({state.value: state for state in MappingState})

_COLUMNS = """external_id, CAST(entity_id AS text) AS entity_id, base, asof_low, asof_high,
    revision, fetch_revision, state, detached, carried, version, memo, merged_into,
    ended_record"""

_BY_EXTERNAL = f"""
    SELECT {_COLUMNS} FROM external_mappings
    WHERE source_system = $1 AND entity_type = $2 AND external_id = ANY($3::text[])
"""  # noqa: S608 - no value is put into the text

# A lookup for each index: with OR, a database without statistics reads the whole table. With the
# wrong index it would read all rows of a source system, so those columns are expressions here.
# NOT IN builds a hash table of the ids, while <> ALL compares each row with all of them.
_AROUND = f"""
    SELECT {_COLUMNS} FROM (
        SELECT * FROM external_mappings
        WHERE source_system = $1 AND entity_type = $2 AND external_id = ANY($3::text[])
        UNION ALL
        SELECT * FROM external_mappings
        WHERE entity_id = ANY($4::uuid[])
          AND source_system || '' = $1 AND entity_type || '' = $2
          AND external_id NOT IN (SELECT unnest($3::text[]))
    ) AS around
    ORDER BY state, updated_at DESC
"""  # noqa: S608 - no value is put into the text

_OWNERS = """
    SELECT external_id, CAST(entity_id AS text) AS entity_id FROM external_mappings
    WHERE source_system = $1 AND entity_type = $2 AND external_id = ANY($3::text[])
"""

_LOCK_NAMES = """
    SELECT pg_advisory_xact_lock(h)
    FROM (SELECT DISTINCT hashtextextended($1 || ':' || $2 || ':' || n, 0) AS h
          FROM unnest($3::text[]) AS n ORDER BY h) AS ordered
"""

_SAVE = """
    INSERT INTO external_mappings AS m (source_system, entity_type, carried, external_id,
        entity_id, base, asof_low, asof_high, revision, fetch_revision, state, detached,
        synced_version, version, memo, merged_into, ended_record)
    SELECT $1, $2, $3::text[], t.*
    FROM jsonb_to_recordset($4) AS t(external_id text, entity_id uuid, base jsonb,
        asof_low bigint, asof_high bigint, revision integer, fetch_revision integer, state text,
        detached boolean, synced_version integer, version text, memo jsonb,
        merged_into text, ended_record boolean)
    ON CONFLICT (source_system, entity_type, external_id) DO UPDATE
    SET entity_id = excluded.entity_id, base = excluded.base, asof_low = excluded.asof_low,
        asof_high = excluded.asof_high, revision = excluded.revision,
        fetch_revision = excluded.fetch_revision, state = excluded.state,
        detached = excluded.detached, updated_at = now(),
        synced_version = coalesce(excluded.synced_version, m.synced_version),
        carried = excluded.carried, version = excluded.version, memo = excluded.memo,
        merged_into = excluded.merged_into, ended_record = excluded.ended_record
"""

# The newest tombstone of each source system, as `_AROUND` orders them.
_WANT_LOOKS = """
    UPDATE external_mappings AS m
    SET revision = m.revision + 1, fetch_revision = m.revision + 1, updated_at = now()
    FROM (SELECT DISTINCT ON (entity_id, source_system) source_system, external_id, state
          FROM external_mappings
          WHERE entity_type = $2 AND entity_id = ANY($3::uuid[]) AND source_system <> $1
          ORDER BY entity_id, source_system, state, updated_at DESC) AS last
    WHERE m.source_system = last.source_system AND m.entity_type = $2
      AND m.external_id = last.external_id AND last.state = 'deleted' AND m.merged_into IS NULL
"""

# A push of unknown outcome does not count, but its fetch does: after the fetch, the push may stay
# unanswered forever.
_LINKS = text("""
    SELECT CAST(m.entity_id AS text) AS entity_id, m.source_system, m.external_id, m.state,
           m.synced_version, m.base, m.carried, m.merged_into,
           m.fetch_revision IS NULL AND NOT EXISTS (
               SELECT 1 FROM push_intents AS i
               WHERE i.entity_id = m.entity_id AND i.source_system = m.source_system
                 AND i.entity_type = m.entity_type AND i.state = 'sent') AS settled
    FROM external_mappings AS m
    WHERE m.entity_type = :entity_type AND m.entity_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY m.source_system, m.state = 'active' DESC, m.updated_at DESC
""")


class StoredMapping(NamedTuple):
    """A mapping, and the terms of the coverage of its base; None for all fields."""

    mapping: ExternalMapping
    carried: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Link:
    """The mapping of a record at a source system. `settled`: no fetch or push is pending.

    `carried` are the terms of the coverage of the base, None for all fields. `merged_into` is the
    object into which the object was merged.
    """

    source_system: str
    external_id: str
    state: MappingState
    synced_version: int | None
    base: Fields
    settled: bool
    carried: frozenset[str] | None = None
    merged_into: str | None = None

    def shows(self, fields: Fields) -> bool:
        """Return whether the base equals these fields, as far as the connection covers them."""
        if self.carried is None:
            return self.base == fields
        return Coverage.of_terms(self.carried).shows(fields, self.base)


async def by_external_id(
    db: AsyncConnection, source: str, entity_type: str, external_ids: Iterable[str]
) -> dict[str, ExternalMapping]:
    """Return mappings by external id, including tombstones."""
    wanted = sorted(set(external_ids))
    rows = await driver(db).fetch(_BY_EXTERNAL, source, entity_type, wanted)
    return {row["external_id"]: _mapping(row) for row in rows}


async def owners(
    db: AsyncConnection, source: str, entity_type: str, external_ids: Iterable[str]
) -> dict[str, str | None]:
    """Return record ids by external id, including those of tombstones."""
    wanted = sorted(set(external_ids))
    rows = await driver(db).fetch(_OWNERS, source, entity_type, wanted)
    return {row[0]: row[1] for row in rows}


async def around(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    external_ids: Iterable[str],
    entity_ids: Iterable[str],
) -> list[StoredMapping]:
    """Return the mappings of objects and of records, active ones first, then newest first."""
    objects, records = sorted(set(external_ids)), sorted(set(entity_ids))
    rows = await driver(db).fetch(_AROUND, source, entity_type, objects, records)
    return [StoredMapping(_mapping(row), names_of(row["carried"])) for row in rows]


async def of_records(
    db: AsyncConnection, entity_type: str, entity_ids: Sequence[str]
) -> dict[str, dict[str, Link]]:
    """Return by record and source system the active mapping, else the newest tombstone."""
    found: dict[str, dict[str, Link]] = defaultdict(dict)
    rows = await db.execute(_LINKS, {"entity_type": entity_type, "ids": list(entity_ids)})
    for row in rows:
        link = Link(
            row.source_system,
            row.external_id,
            MappingState(row.state),
            row.synced_version,
            row.base,
            row.settled,
            names_of(row.carried),
            row.merged_into,
        )
        found[row.entity_id].setdefault(link.source_system, link)
    return found


async def lock_names(
    db: AsyncConnection, source: str, entity_type: str, external_ids: Iterable[str]
) -> None:
    """Lock these names, also unmapped ones, until the transaction ends."""
    names = sorted(set(external_ids))
    await driver(db).execute(_LOCK_NAMES, source, entity_type, names)


async def save(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    mappings: Sequence[tuple[ExternalMapping, int | None]],
    carried: Iterable[str] | None = None,
) -> None:
    """Insert or update mappings, each with the record version that the object is known to hold.

    `carried` are the terms of the coverage of their bases, None for all fields.
    """
    if not mappings:
        return
    rows = [_row(mapping, version) for mapping, version in mappings]
    names = None if carried is None else sorted(carried)
    await driver(db).execute(_SAVE, source, entity_type, names, rows)


async def want_looks(
    db: AsyncConnection, source: str, entity_type: str, record_ids: Iterable[str]
) -> None:
    """Request a fetch of the former objects of locked records, except at one source system."""
    await driver(db).execute(_WANT_LOOKS, source, entity_type, sorted(record_ids))


def _mapping(row: Record) -> ExternalMapping:
    (
        external_id,
        entity_id,
        base,
        low,
        high,
        revision,
        fetch_revision,
        state,
        detached,
        _,
        version,
        memo,
        merged_into,
        ended_record,
    ) = row
    return ExternalMapping(
        external_id=external_id,
        entity_id=entity_id,
        base=base,
        asof=Interval(low, high),
        revision=revision,
        state=_STATES[state],
        fetch_revision=fetch_revision,
        detached=detached,
        version=version,
        memo=memo,
        merged_into=merged_into,
        ended_record=ended_record,
    )


def _row(mapping: ExternalMapping, synced_version: int | None) -> dict[str, Any]:
    return {
        "external_id": mapping.external_id,
        "entity_id": mapping.entity_id,
        "base": mapping.base,
        "asof_low": mapping.asof.low,
        "asof_high": mapping.asof.high,
        "revision": mapping.revision,
        "fetch_revision": mapping.fetch_revision,
        "state": mapping.state,
        "detached": mapping.detached,
        "synced_version": synced_version,
        "version": mapping.version,
        "memo": mapping.memo,
        "merged_into": mapping.merged_into,
        "ended_record": mapping.ended_record,
    }


def names_of(carried: Sequence[str] | None) -> frozenset[str] | None:
    """Return the terms of the coverage of a base, None for all fields."""
    return None if carried is None else frozenset(carried)
