"""The settings choose the bus, and only a bus with a broker has a relay."""

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.bus.choice import choose_bus
from zenskar.bus.kafka.bus import KafkaBus
from zenskar.bus.port import RelayedBus
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.bus.postgres.notifier import Notifier
from zenskar.settings import Settings


async def test_without_a_broker_the_outbox_is_the_bus(
    engine: AsyncEngine, database_url: str
) -> None:
    bus = choose_bus(Settings(), engine, Notifier(database_url))
    assert isinstance(bus, PostgresBus)
    assert not isinstance(bus, RelayedBus)


async def test_a_bus_with_a_broker_is_relayed(engine: AsyncEngine, database_url: str) -> None:
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    bus = choose_bus(settings, engine, Notifier(database_url))
    assert isinstance(bus, KafkaBus)
    assert isinstance(bus, RelayedBus)
