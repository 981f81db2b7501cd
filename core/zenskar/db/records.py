"""Records of the sync: flat fields, locked, written in sets."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from asyncpg import Record as Row
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.engine import driver
from zenskar.db.schema.customer_columns import ASSIGNED, FIELDS, LISTED, TYPED
from zenskar.db.schema.tables import email_key
from zenskar.model.fields import CUSTOMER, flatten, unflatten
from zenskar.model.record import Record

_LOCK = f"""
    SELECT CAST(id AS text) AS id, version,
           CAST(extract(epoch FROM updated_at) * 1000000 AS bigint) AS updated_at,
           deleted_at IS NOT NULL AS deleted, erased_at IS NOT NULL AS erased, {LISTED}
    FROM customers WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
"""  # noqa: S608 - no value is put into the text

# The limit keeps this a search in the index for each value, also without statistics.
_ALIKE = f"""
    SELECT wanted.value, CAST(alike.id AS text)
    FROM unnest($1::text[]) AS wanted(value)
    CROSS JOIN LATERAL (
        SELECT c.id FROM customers AS c
        WHERE {email_key("c.email")} = {email_key("wanted.value")} AND c.deleted_at IS NULL
        ORDER BY c.id LIMIT $2
    ) AS alike
"""  # noqa: S608 - no value is put into the text

_ROWS = f"jsonb_to_recordset($1) AS r(id uuid, version integer, deleted boolean, {TYPED})"

_INSERT = f"""
    INSERT INTO customers (id, {LISTED}, version, deleted_at)
    SELECT id, {LISTED}, version, CASE WHEN deleted THEN now() END FROM {_ROWS}
    RETURNING created_at
"""  # noqa: S608 - no value is put into the text

# The limit is the number of rows, which PostgreSQL cannot estimate from JSON.
_UPDATE = f"""
    UPDATE customers AS c
    SET {ASSIGNED}, version = t.version, updated_at = now(),
        deleted_at = CASE WHEN t.deleted THEN coalesce(c.deleted_at, now()) END
    FROM (SELECT * FROM {_ROWS} LIMIT $2) AS t
    WHERE c.id = t.id
"""  # noqa: S608 - no value is put into the text


async def lock(db: AsyncConnection, entity_type: str, ids: Iterable[str]) -> dict[str, Record]:
    """Lock records in one order, to prevent deadlocks; return them by id, including deleted ones.

    Raises `LookupError` for an entity type without a table.
    """
    _only_customers(entity_type)
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    rows = await driver(db).fetch(_LOCK, wanted)
    return {row["id"]: _record(row) for row in rows}


async def find_alike(
    db: AsyncConnection, entity_type: str, field: str, values: Iterable[str], *, most: int
) -> dict[str, list[str]]:
    """Return by value the ids of living records with an equal value of a searchable field.

    The space around a value and the case of the letters A to Z do not count. Raises as `lock`
    does, and `LookupError` for a field without an index.
    """
    _only_customers(entity_type)
    if field not in CUSTOMER.searchable:
        raise LookupError(f"there is no index of {entity_type} by {field}")
    rows = await driver(db).fetch(_ALIKE, sorted(set(values)), most)
    found: dict[str, list[str]] = defaultdict(list)
    for value, record_id in rows:
        found[value].append(record_id)
    return found


async def insert(db: AsyncConnection, entity_type: str, records: Sequence[Record]) -> None:
    """Insert new records; raises as `lock` does."""
    _only_customers(entity_type)
    if records:
        await driver(db).execute(_INSERT, [_row(record) for record in records])


async def create(db: AsyncConnection, entity_type: str, record: Record) -> datetime:
    """Insert a new record and return the time of its creation; raises as `lock` does."""
    _only_customers(entity_type)
    created_at: datetime = await driver(db).fetchval(_INSERT, [_row(record)])
    return created_at


async def update(db: AsyncConnection, entity_type: str, records: Sequence[Record]) -> None:
    """Update locked records; raises as `lock` does."""
    _only_customers(entity_type)
    if records:
        rows = [_row(record) for record in records]
        await driver(db).execute(_UPDATE, rows, len(rows))


def _record(row: Row) -> Record:
    record_id, version, updated_at, deleted, erased, *values = row
    document = dict(zip(FIELDS, values, strict=True))
    return Record(record_id, flatten(CUSTOMER, document), version, updated_at, deleted, erased)


def _row(record: Record) -> dict[str, Any]:
    document = unflatten(CUSTOMER, record.fields)
    return {"id": record.id, "version": record.version, "deleted": record.deleted, **document}


def _only_customers(entity_type: str) -> None:
    if entity_type != CUSTOMER.entity_type:
        raise LookupError(f"there is no table for entities of type {entity_type}")
