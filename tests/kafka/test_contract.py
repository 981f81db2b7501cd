"""The bus on Kafka keeps the contract of every bus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.kafka.topics import delete_topics
from zenskar.bus.kafka.bus import KafkaBus
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.port import Bus
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.bus.postgres.notifier import Notifier
from zenskar.db.driver import engine as driver
from zenskar.ids import new_id
from zenskar.model.envelope import OUTBOUND
from zenskar.testing import BusConformance


class TestKafkaBus(BusConformance):
    """Every check of the contract; each has topics and a group of its own."""

    url: str
    options: KafkaOptions

    @pytest.fixture(autouse=True)
    def _topics(self, kafka: str, database_url: str) -> None:
        asyncio.run(delete_topics(kafka))
        self.url = database_url
        self.options = KafkaOptions(
            bootstrap_servers=kafka, group=new_id(), partitions=4, send_timeout_seconds=10
        )

    @asynccontextmanager
    async def open_bus(self) -> AsyncIterator[Bus]:
        engine = driver.create_engine(self.url, pool_size=5)
        outbox = PostgresBus(engine, Notifier(self.url), poll_seconds=0.2, lease_seconds=60)
        bus = KafkaBus(self.options, outbox, engine, poll_seconds=0.2)
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

    async def move(self, bus: Bus) -> None:
        assert isinstance(bus, KafkaBus)
        async with asyncio.timeout(30):
            while not (waiting := await bus.outbox.receive(OUTBOUND, 10, exclusive_keys=True)):
                pass
        await bus.forward(waiting)
        await bus.outbox.ack(waiting)
