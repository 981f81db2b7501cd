"""The producer with a broker that accepts connections and never answers."""

import asyncio

import pytest

from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.producer import KafkaProducer
from zenskar.errors import Unavailable

HEALTH_SECONDS = 3.0


async def test_a_hanging_broker_is_detected_before_the_health_check_ends() -> None:
    # A writer that nobody holds is closed by the garbage collector.
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    producer = KafkaProducer(KafkaOptions(f"127.0.0.1:{port}"))
    try:
        with pytest.raises(Unavailable, match="Kafka does not answer"):
            await asyncio.wait_for(producer.check(), HEALTH_SECONDS)
    finally:
        await producer.stop()
        server.close()
