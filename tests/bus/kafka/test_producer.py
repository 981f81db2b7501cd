"""The producer with a broker that accepts connections and stops answering."""

import asyncio
import gc
import io
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.producer import KafkaProducer
from zenskar.errors import Unavailable
from zenskar.telemetry import logs

HEALTH_SECONDS = 3.0
API_KEYS = 20
"""More than a client needs; each is offered in the versions 0 to 3."""


async def test_a_hanging_broker_is_detected_before_the_health_check_ends() -> None:
    async with hanging_broker(answers=0) as options:
        await check_fails_in_time(KafkaProducer(options))


async def test_a_connection_that_the_client_forgets_is_no_error_in_the_log() -> None:
    lines = io.StringIO()
    logs.configure("info", "json", lines)
    async with hanging_broker(answers=1) as options:
        await check_fails_in_time(KafkaProducer(options))
        # A forgotten connection reports itself when it is collected.
        gc.collect()
        await asyncio.sleep(0)
    assert lines.getvalue() == ""


async def check_fails_in_time(producer: KafkaProducer) -> None:
    try:
        with pytest.raises(Unavailable, match="Kafka does not answer"):
            await asyncio.wait_for(producer.check(), HEALTH_SECONDS)
    finally:
        await producer.stop()


@asynccontextmanager
async def hanging_broker(*, answers: int) -> AsyncIterator[KafkaOptions]:
    """Run a broker that answers the first requests of a connection, and no others.

    The first request of a client asks for the versions of the protocol:
    https://kafka.apache.org/protocol#The_Messages_ApiVersions.
    """
    # A writer that nobody holds is closed by the garbage collector.
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        for _ in range(answers):
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            _key, _version, correlation_id = struct.unpack(
                ">hhi", (await reader.readexactly(size))[:8]
            )
            answer = struct.pack(">ihi", correlation_id, 0, API_KEYS)
            answer += b"".join(struct.pack(">hhh", key, 0, 3) for key in range(API_KEYS))
            writer.write(struct.pack(">i", len(answer)) + answer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield KafkaOptions(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        for writer in held:
            writer.close()
        server.close()
