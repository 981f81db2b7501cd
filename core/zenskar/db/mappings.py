"""External mappings."""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import NamedTuple

from asyncpg import Record
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.packing import Texts, document, listed, number, packed, unpacked
from zenskar.db.driver.statements import statement
from zenskar.model.interval import Interval
from zenskar.model.record import ExternalMapping, MappingState

_STATES = MappingProxyType({state.value: state for state in MappingState})

_COLUMNS = """external_id, CAST(entity_id AS text) AS entity_id, base, asof_low, asof_high,
    revision, fetch_revision, state, detached, carried"""

_BY_EXTERNAL = statement(f"""
    SELECT {_COLUMNS} FROM external_mappings
    WHERE source_system = :source AND entity_type = :entity_type
      AND external_id = ANY({listed("ids")})
""")  # noqa: S608 - no value is put into the text

# One lookup for each index: with OR a database without statistics reads the whole table, and it
# would read all of a source system's with the wrong one, which is why that is no plain column.
# NOT IN makes a hash table of the ids, where <> ALL compares each row with all of them.
_AROUND = statement(f"""
    SELECT {_COLUMNS} FROM (
        SELECT * FROM external_mappings
        WHERE source_system = :source AND entity_type = :entity_type
          AND external_id = ANY({listed("external_ids")})
        UNION ALL
        SELECT * FROM external_mappings
        WHERE entity_id = ANY({listed("entity_ids", "uuid")})
          AND source_system || '' = :source AND entity_type || '' = :entity_type
          AND external_id NOT IN (SELECT unnest({listed("external_ids")}))
    ) AS around
    ORDER BY state, updated_at DESC
""")  # noqa: S608 - no value is put into the text

_OWNERS = statement(f"""
    SELECT external_id, CAST(entity_id AS text) AS entity_id FROM external_mappings
    WHERE source_system = :source AND entity_type = :entity_type
      AND external_id = ANY({listed("ids")})
""")  # noqa: S608 - no value is put into the text

_LOCK_NAMES = statement(f"""
    SELECT pg_advisory_xact_lock(h)
    FROM (SELECT DISTINCT hashtextextended(:source || ':' || :entity_type || ':' || n, 0) AS h
          FROM unnest({listed("ids")}) AS n ORDER BY h) AS ordered
""")  # noqa: S608 - no value is put into the text

_TEXTS = (
    "external_id",
    "entity_id",
    "asof_low",
    "asof_high",
    "revision",
    "fetch_revision",
    "state",
    "detached",
    "synced_version",
)
_ROWS, _ROW = unpacked(*_TEXTS, documents=["base"]), ", ".join((*_TEXTS, "base"))

_SAVE = statement(f"""
    INSERT INTO external_mappings AS m (source_system, entity_type, external_id, entity_id, base,
        asof_low, asof_high, revision, fetch_revision, state, detached, synced_version, carried)
    SELECT :source, :entity_type, t.external_id, CAST(t.entity_id AS uuid),
           CAST(t.base AS jsonb), CAST(t.asof_low AS bigint), CAST(t.asof_high AS bigint),
           CAST(t.revision AS integer), CAST(t.fetch_revision AS integer), t.state,
           CAST(t.detached AS boolean), CAST(t.synced_version AS integer),
           string_to_array(nullif(:carried, ''), ',')
    FROM {_ROWS} AS t({_ROW})
    ON CONFLICT (source_system, entity_type, external_id) DO UPDATE
    SET entity_id = excluded.entity_id, base = excluded.base, asof_low = excluded.asof_low,
        asof_high = excluded.asof_high, revision = excluded.revision,
        fetch_revision = excluded.fetch_revision, state = excluded.state,
        detached = excluded.detached, updated_at = now(),
        synced_version = coalesce(excluded.synced_version, m.synced_version),
        carried = excluded.carried
""")  # noqa: S608 - no value is put into the text


class StoredMapping(NamedTuple):
    """A mapping, and the fields that its base is about; None for all."""

    mapping: ExternalMapping
    carried: frozenset[str] | None


async def by_external_id(
    db: AsyncConnection, source: str, entity_type: str, external_ids: Iterable[str]
) -> dict[str, ExternalMapping]:
    """Return mappings by external id, tombstones too."""
    rows = await _BY_EXTERNAL.rows(
        db,
        source=source,
        entity_type=entity_type,
        **packed({"ids": sorted(set(external_ids))}),
    )
    return {row["external_id"]: _mapping(row) for row in rows}


async def owners(
    db: AsyncConnection, source: str, entity_type: str, external_ids: Iterable[str]
) -> dict[str, str | None]:
    """Return the ids of the records that external objects belong to, tombstones too."""
    rows = await _OWNERS.rows(
        db,
        source=source,
        entity_type=entity_type,
        **packed({"ids": sorted(set(external_ids))}),
    )
    return {row[0]: row[1] for row in rows}


async def around(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    external_ids: Iterable[str],
    entity_ids: Iterable[str],
) -> list[StoredMapping]:
    """Return the mappings of objects and of records, the live ones first, then newest first."""
    rows = await _AROUND.rows(
        db,
        source=source,
        entity_type=entity_type,
        **packed(
            {"external_ids": sorted(set(external_ids)), "entity_ids": sorted(set(entity_ids))}
        ),
    )
    return [StoredMapping(_mapping(row), names_of(row["carried"])) for row in rows]


async def lock_names(
    db: AsyncConnection, source: str, entity_type: str, external_ids: Iterable[str]
) -> None:
    """Let nobody else make a mapping for these external ids until the transaction ends."""
    await _LOCK_NAMES.run(
        db,
        source=source,
        entity_type=entity_type,
        **packed({"ids": sorted(set(external_ids))}),
    )


async def save(
    db: AsyncConnection,
    source: str,
    entity_type: str,
    mappings: Sequence[tuple[ExternalMapping, int | None]],
    carried: Iterable[str] | None = None,
) -> None:
    """Write mappings, each with the record version that the external object is known to show.

    `carried` names the fields that their bases are about, None when they are about all.
    """
    if not mappings:
        return
    rows = [mapping for mapping, _ in mappings]
    texts: Texts = {
        "external_id": [m.external_id for m in rows],
        "entity_id": [m.entity_id for m in rows],
        "asof_low": [str(m.asof.low) for m in rows],
        "asof_high": [str(m.asof.high) for m in rows],
        "revision": [str(m.revision) for m in rows],
        "fetch_revision": [number(m.fetch_revision) for m in rows],
        "state": [m.state for m in rows],
        "detached": [str(m.detached) for m in rows],
        "synced_version": [number(version) for _, version in mappings],
    }
    bases = [document(m.base) for m in rows]
    await _SAVE.run(
        db,
        source=source,
        entity_type=entity_type,
        carried=",".join(sorted(carried or ())),
        **packed(texts, {"base": bases}),
    )


def names_of(carried: Sequence[str] | None) -> frozenset[str] | None:
    """Return the names of the fields that a base is about, None for all."""
    return None if carried is None else frozenset(carried)


def _mapping(row: Record) -> ExternalMapping:
    external_id, entity_id, base, low, high, revision, fetch_revision, state, detached, _ = row
    return ExternalMapping(
        external_id=external_id,
        entity_id=entity_id,
        base=base,
        asof=Interval(low, high),
        revision=revision,
        state=_STATES[state],
        fetch_revision=fetch_revision,
        detached=detached,
    )
