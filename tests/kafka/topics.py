"""Empty topics for a test, on a cluster that many tests share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient

from tests.support.wait import until
from zenskar.bus.kafka.topics import TOPICS


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield an administration client."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def delete_topics(bootstrap: str) -> None:
    """Delete the topics of earlier tests, and wait for their end."""
    async with admin(bootstrap) as client:

        async def gone() -> bool:
            there = [topic for topic in TOPICS if topic in await client.list_topics()]
            if there:
                await client.delete_topics(there)
            return not there

        await until(gone, 30)
