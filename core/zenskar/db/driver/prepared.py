"""A statement for one that runs it all the time: the pool costs as much as what is written."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from asyncpg.prepared_stmt import PreparedStatement
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from zenskar.db.driver.engine import again, outages
from zenskar.db.driver.statements import Statement, driver


class DedicatedStatement:
    """A statement, prepared on one connection of an engine's pool, each run a transaction.

    The connection is opened when it is first needed, and again after an error. One at a time may
    use it. The plan is made once, for all values: it is meant for what looks nothing up.
    """

    def __init__(self, engine: AsyncEngine, statement: Statement) -> None:
        self._engine = engine
        self._statement = statement
        self._connection: AsyncConnection | None = None
        self._prepared: PreparedStatement | None = None

    async def run(self, values: Mapping[str, Any]) -> None:
        """Run it, again when the database asks for that; `Unavailable` when that is away."""
        given = self._statement.given(values)
        await again(lambda: self._once(given))

    async def close(self) -> None:
        """Let go of the connection; the next use opens another one."""
        connection, self._connection, self._prepared = self._connection, None, None
        if connection is None:
            return
        # What went wrong may be the very connection.
        with suppress(Exception):
            await connection.invalidate()
        with suppress(Exception):
            await connection.close()

    async def _once(self, given: list[Any]) -> None:
        try:
            prepared = self._prepared
            if prepared is None or self._is_closed():
                prepared = await self._prepare()
            await prepared.fetch(*given)
        except BaseException:
            await self.close()
            # Only now: entering it each time costs more than binding the values.
            with outages():
                raise

    def _is_closed(self) -> bool:
        return self._connection is None or driver(self._connection).is_closed()

    async def _prepare(self) -> PreparedStatement:
        await self.close()
        self._connection = await self._engine.connect()
        opened = driver(self._connection)
        await opened.execute("SET plan_cache_mode = force_generic_plan")
        self._prepared = prepared = await opened.prepare(self._statement.sql)
        return prepared
