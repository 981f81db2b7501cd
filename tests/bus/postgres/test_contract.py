"""The bus on PostgreSQL keeps the contract of every bus."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from zenskar.bus.port import Bus
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.bus.postgres.notifier import Notifier
from zenskar.db.driver import engine as driver
from zenskar.testing import BusConformance


class TestPostgresBus(BusConformance):
    """Every check of the contract."""

    url: str

    @pytest.fixture(autouse=True)
    def _database(self, database_url: str) -> None:
        self.url = database_url

    @asynccontextmanager
    async def open_bus(self) -> AsyncIterator[Bus]:
        engine = driver.create_engine(self.url, pool_size=5)
        bus = PostgresBus(engine, Notifier(self.url), poll_seconds=0.2, lease_seconds=60)
        await bus.start()
        try:
            yield bus
        finally:
            await bus.stop()
            await engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        engine = driver.create_engine(self.url, pool_size=2)
        try:
            async with driver.transaction(engine) as db:
                yield db
        finally:
            await engine.dispose()
