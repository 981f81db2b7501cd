"""The databases of one test process: each test gets an empty database.

The creation of a database costs a hundred times as much as emptying it.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from tests.support import postgres
from zenskar.db.schema.all_tables import metadata

# An UPDATE of a catalog row changes its xmin, so every change of the schema is detected.
_SHAPE = """
SELECT array_agg(format('%s %s', oid, xmin) ORDER BY oid)
    || (SELECT array_agg(format('%s %s', version_num, xmin)) FROM alembic_version)
FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
_OTHERS_AWAY = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_NUMBERS_ANEW = """
SELECT setval(oid::regclass, 1, false) FROM pg_class
WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""
# A request for each table would take a third longer.
_EMPTY = ";".join(
    [*(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)), _NUMBERS_ANEW]
)


class Databases:
    """Creates databases on a server, and empties the databases of finished tests."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._free: dict[str, list[str] | None] = {}

    @contextmanager
    def one(self) -> Iterator[str]:
        """Yield the URL of a migrated database without rows."""
        name, shape = postgres.apart(self._take)
        try:
            yield postgres.database_of(self._server, name)
        finally:
            self._free[name] = shape

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[str]:
        """Like `one`, for code with its own event loop."""
        name, shape = await self._take()
        try:
            yield postgres.database_of(self._server, name)
        finally:
            self._free[name] = shape

    def drop_all(self) -> None:
        """Drop the databases of this process."""
        for name in self._free:
            postgres.apart(lambda name=name: postgres.drop(self._server, name))

    async def _take(self) -> tuple[str, list[str] | None]:
        # Emptied only now: the tasks of the last test have stopped meanwhile.
        while self._free:
            name, shape = self._free.popitem()
            if await self._empty(name, shape):
                return name, shape
            await postgres.drop(self._server, name)
        return await self._make()

    async def _make(self) -> tuple[str, list[str] | None]:
        name = f"test_{uuid.uuid4().hex}"
        await postgres.create(self._server, name)
        connection = await asyncpg.connect(postgres.database_of(self._server, name))
        try:
            return name, await _shape(connection)
        finally:
            await connection.close()

    async def _empty(self, name: str, shape: list[str] | None) -> bool:
        connection = await asyncpg.connect(postgres.database_of(self._server, name))
        try:
            await connection.execute(_OTHERS_AWAY)
            if await _shape(connection) != shape:
                return False
            await connection.execute(_EMPTY)
            return True
        finally:
            await connection.close()


async def _shape(connection: asyncpg.Connection) -> list[str] | None:
    if not await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL"):
        return None
    return await connection.fetchval(_SHAPE)
