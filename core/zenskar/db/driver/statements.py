"""Statements with named parameters that go straight to the driver.

What SQLAlchemy does with a statement costs five times as much as the driver.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from asyncpg import Connection, Record
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.ext.asyncio import AsyncConnection

_NAME = re.compile(r"(?<![:\w]):(\w+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with numbered parameters, and their names in that order."""

    sql: str
    names: tuple[str, ...]

    def given(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values of the parameters, in their order."""
        return [values[name] for name in self.names]

    async def rows(self, db: AsyncConnection, **values: Any) -> list[Record]:
        """Run it and return its rows."""
        return await driver(db).fetch(self.sql, *self.given(values))

    async def value(self, db: AsyncConnection, **values: Any) -> Any:
        """Run it and return the first column of its first row, None without a row."""
        return await driver(db).fetchval(self.sql, *self.given(values))

    async def run(self, db: AsyncConnection, **values: Any) -> None:
        """Run it."""
        await driver(db).execute(self.sql, *self.given(values))


def statement(text: str) -> Statement:
    """Read SQL in which `:name` stands for a parameter."""
    names = tuple(dict.fromkeys(_NAME.findall(text)))
    return Statement(_NAME.sub(lambda found: f"${names.index(found[1]) + 1}", text), names)


def driver(db: AsyncConnection) -> Connection:
    """Return the driver's own connection, in the same transaction."""
    opened = cast(SyncConnection, db.sync_connection)
    return cast(Connection, opened.connection.driver_connection)


def is_clean(connection: Connection | None) -> bool:
    """Tell whether a connection can be used again: it is open, and outside of transactions."""
    return (
        connection is not None and not connection.is_closed() and not connection.is_in_transaction()
    )
