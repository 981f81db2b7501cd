"""The time for which callers wait until the pool lends them a connection."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

WAITED = "zenskar_waited"
"""The option of an engine that holds a function; it receives the seconds of each wait."""


def lent(engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
    """Return a connection to open; its wait is measured if all connections are in use."""
    pool = engine.pool
    if isinstance(pool, QueuePool) and pool.checkedout() >= pool.size():
        waited = engine.get_execution_options().get(WAITED)
        if waited is not None:
            return _MeasuredWait(engine.connect(), waited)
    return engine.connect()


class _MeasuredWait(AbstractAsyncContextManager[AsyncConnection]):
    """Opens a connection and passes the seconds on, also if none was free in time."""

    def __init__(self, connection: AsyncConnection, waited: Callable[[float], None]) -> None:
        self._connection = connection
        self._waited = waited

    async def __aenter__(self) -> AsyncConnection:
        began = time.monotonic()
        try:
            return await self._connection.__aenter__()
        finally:
            self._waited(time.monotonic() - began)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.__aexit__(kind, error, traceback)
