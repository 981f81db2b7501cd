"""A connection for one that writes all the time: the pool costs as much as what is written."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from zenskar.db.engine import again, outages
from zenskar.db.engines import AsyncConnection, AsyncEngine
from zenskar.db.statements import driver, is_clean

T = TypeVar("T")


class KeptConnection:
    """One connection of an engine's pool, on which every statement is a transaction of its own.

    It is opened when it is first needed, and again after an error. One at a time may use it.
    Plans are made once, for all values: it is meant for what looks nothing up.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._connection: AsyncConnection | None = None

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work`, again when the database asks for that; `Unavailable` when it is away."""
        return await again(lambda: self._once(work))

    async def close(self) -> None:
        """Let go of it; the next use opens another one."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # What went wrong may be the very connection.
        with suppress(Exception):
            await connection.invalidate()
        with suppress(Exception):
            await connection.close()

    async def _once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with outages():
            try:
                return await work(await self._usable())
            except BaseException:
                await self.close()
                raise

    async def _usable(self) -> AsyncConnection:
        if self._connection is not None and not is_clean(driver(self._connection)):
            await self.close()
        if self._connection is None:
            self._connection = await self._engine.connect()
            await driver(self._connection).execute("SET plan_cache_mode = force_generic_plan")
        return self._connection
