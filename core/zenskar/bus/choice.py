"""Choose the bus by the settings."""

from sqlalchemy.ext.asyncio import AsyncEngine

from zenskar.bus.port import Bus
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.bus.postgres.notifier import Notifier
from zenskar.settings import Settings


def choose_bus(settings: Settings, engine: AsyncEngine, notifier: Notifier) -> Bus:
    """Build the bus on Kafka if Kafka is configured, else the bus on PostgreSQL.

    Raises `ConfigurationError` when a setting of the bus is wrong.
    """
    postgres = PostgresBus(
        engine,
        notifier,
        poll_seconds=settings.poll_seconds,
        lease_seconds=settings.claim_lease_seconds,
    )
    if not settings.kafka_bootstrap_servers:
        return postgres
    from zenskar.bus.kafka.bus import KafkaBus
    from zenskar.bus.kafka.options import KafkaOptions

    options = KafkaOptions.of(settings)
    return KafkaBus(options, postgres, engine, poll_seconds=settings.poll_seconds)
