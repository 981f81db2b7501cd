"""Customers of the API: whole rows, newest first."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.db import records
from zenskar.db.schema.customer_columns import FIELDS
from zenskar.db.schema.tables import customers
from zenskar.model.fields import CUSTOMER, Fields, flatten, unflatten
from zenskar.model.record import Record

EMAIL_START = 255
"""The number of characters of an e-mail address in the index, see `tables.py`."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A row of `customers`; `document` is the canonical document, every field present."""

    id: str
    document: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def record(self) -> Record:
        """The customer as a record of the kernel."""
        return Record(
            id=self.id,
            fields=flatten(CUSTOMER, self.document),
            version=self.version,
            updated_at=round(self.updated_at.timestamp() * 1_000_000),
            deleted=self.deleted_at is not None,
        )


async def create(db: AsyncConnection, customer_id: str, fields: Fields) -> Customer:
    """Insert a new customer."""
    record = Record(customer_id, fields)
    created_at = await records.create(db, CUSTOMER.entity_type, record)
    return Customer(customer_id, _columns(fields), record.version, created_at, created_at)


async def read(db: AsyncConnection, customer_id: str, *, lock: bool = False) -> Customer | None:
    """Return a customer, even a deleted one; `lock` locks the row until the transaction ends."""
    statement = select(customers).where(customers.c.id == customer_id)
    if lock:
        statement = statement.with_for_update()
    row = (await db.execute(statement)).one_or_none()
    return None if row is None else _customer(row)


async def read_many(db: AsyncConnection, ids: Iterable[str]) -> dict[str, Customer]:
    """Return customers by id, including deleted ones."""
    rows = await db.execute(select(customers).where(customers.c.id.in_(set(ids))))
    return {row.id: _customer(row) for row in rows}


async def page(
    db: AsyncConnection, *, most: int, before: str | None, email: str | None
) -> list[Customer]:
    """Return customers that are not deleted, newest first, with ids below `before`."""
    statement: Select[Any] = select(customers).where(customers.c.deleted_at.is_(None))
    if before is not None:
        statement = statement.where(customers.c.id < before)
    if email is not None:
        statement = statement.where(*has_email(email))
    statement = statement.order_by(customers.c.id.desc()).limit(most)
    return [_customer(row) for row in await db.execute(statement)]


def has_email(email: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions for an e-mail address; the indexes hold its start only."""
    column = customers.c.email
    return func.left(column, EMAIL_START) == email[:EMAIL_START], column == email


async def write(
    db: AsyncConnection, customer_id: str, fields: Fields, *, version: int
) -> Customer | None:
    """Store new fields as the next version; return None when `version` is not the current one."""
    return await _change(db, customer_id, version, _columns(fields))


async def delete(db: AsyncConnection, customer_id: str, *, version: int) -> Customer | None:
    """Mark a customer as deleted; return None when `version` is not the current one."""
    return await _change(db, customer_id, version, {"deleted_at": func.now()})


async def _change(
    db: AsyncConnection, customer_id: str, version: int, values: dict[str, Any]
) -> Customer | None:
    present = (
        customers.c.id == customer_id,
        customers.c.version == version,
        customers.c.deleted_at.is_(None),
    )
    statement = update(customers).where(*present).returning(customers)
    row = await db.execute(statement.values(version=version + 1, updated_at=func.now(), **values))
    found = row.one_or_none()
    return None if found is None else _customer(found)


def _columns(fields: Fields) -> dict[str, Any]:
    return unflatten(CUSTOMER, fields)


def _customer(row: Row[Any]) -> Customer:
    return Customer(
        id=row.id,
        document={name: getattr(row, name) for name in FIELDS},
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        deleted_at=row.deleted_at,
    )
