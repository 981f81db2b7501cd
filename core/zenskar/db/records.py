"""Records as the sync side sees them: flat fields, locked, written in sets."""

from collections.abc import Iterable, Sequence

from asyncpg import Record as Row
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db.driver.packing import listed, packed, unpacked
from zenskar.db.driver.statements import statement
from zenskar.db.schema.customer_columns import (
    ASSIGNED,
    DOCUMENTS,
    FIELDS,
    LISTED,
    TEXTS,
    VALUES,
    jsons,
    texts,
)
from zenskar.model.fields import CUSTOMER, flatten, unflatten
from zenskar.model.record import Record

_LOCK = statement(f"""
    SELECT CAST(id AS text) AS id, version,
           CAST(extract(epoch FROM updated_at) * 1000000 AS bigint) AS updated_at,
           deleted_at IS NOT NULL AS deleted, erased_at IS NOT NULL AS erased, {LISTED}
    FROM customers WHERE id = ANY({listed("ids", "uuid")}) ORDER BY id FOR UPDATE
""")  # noqa: S608 - no value is put into the text

_TEXTS = ("id", "version", "deleted", *TEXTS)
_ROWS = f"{unpacked(*_TEXTS, documents=DOCUMENTS)} AS t({', '.join(_TEXTS + DOCUMENTS)})"

_INSERT = statement(f"""
    INSERT INTO customers (id, {LISTED}, version, deleted_at)
    SELECT CAST(t.id AS uuid), {VALUES}, CAST(t.version AS integer),
           CASE WHEN CAST(t.deleted AS boolean) THEN now() END
    FROM {_ROWS}
""")  # noqa: S608 - no value is put into the text

_UPDATE = statement(f"""
    UPDATE customers AS c
    SET {ASSIGNED}, version = CAST(t.version AS integer), updated_at = now(),
        deleted_at = CASE WHEN CAST(t.deleted AS boolean) THEN coalesce(c.deleted_at, now()) END
    FROM {_ROWS}
    WHERE c.id = CAST(t.id AS uuid)
""")  # noqa: S608 - no value is put into the text


async def lock(db: AsyncConnection, entity_type: str, ids: Iterable[str]) -> dict[str, Record]:
    """Return records by id, deleted ones too, locked in one order so that no two wait crosswise."""
    _only_customers(entity_type)
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    rows = await _LOCK.rows(db, **packed({"ids": wanted}))
    return {row["id"]: _record(row) for row in rows}


async def insert(db: AsyncConnection, entity_type: str, records: Sequence[Record]) -> None:
    """Write new records."""
    _only_customers(entity_type)
    if records:
        await _INSERT.run(db, **_columns(records))


async def update(db: AsyncConnection, entity_type: str, records: Sequence[Record]) -> None:
    """Write locked records as they are now."""
    _only_customers(entity_type)
    if records:
        await _UPDATE.run(db, **_columns(records))


def _record(row: Row) -> Record:
    record_id, version, updated_at, deleted, erased, *values = row
    document = dict(zip(FIELDS, values, strict=True))
    return Record(record_id, flatten(CUSTOMER, document), version, updated_at, deleted, erased)


def _columns(records: Sequence[Record]) -> dict[str, str | bytes]:
    documents = [unflatten(CUSTOMER, record.fields) for record in records]
    own = {
        "id": [r.id for r in records],
        "version": [str(r.version) for r in records],
        "deleted": [str(r.deleted) for r in records],
    }
    return packed({**own, **texts(documents)}, jsons(documents))


def _only_customers(entity_type: str) -> None:
    if entity_type != CUSTOMER.entity_type:
        raise LookupError(f"there is no table for entities of type {entity_type}")
