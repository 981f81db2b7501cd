"""Read a message of the log without receiving it, and continue after the one at the head."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, KafkaError

from zenskar.bus.kafka.consumer import delivery_of
from zenskar.bus.kafka.errors import translated
from zenskar.bus.kafka.groups import members
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.records import fetch_one_by_one
from zenskar.bus.port import Delivery
from zenskar.errors import StateConflict, Unavailable

_SECONDS = 10.0


async def read_at(
    options: KafkaOptions, topic: str, partition: int, offset: int
) -> Delivery | None:
    """Return the first message of a partition from an offset on, None without one.

    Raises `Unavailable` when Kafka does not answer, and `ConfigurationError` when it refuses.
    """
    place = TopicPartition(topic, partition)
    async with _connected(AIOKafkaConsumer(**options.client(), group_id=None)) as reader:
        reader.assign([place])
        begin = (await reader.beginning_offsets([place]))[place]
        end = (await reader.end_offsets([place]))[place]
        reader.seek(place, max(begin, offset))
        while await reader.position(place) < end:
            for record in (await fetch_one_by_one(reader)).get(place, ()):
                return delivery_of(record, None)
    return None


async def skip(options: KafkaOptions, topic: str, partition: int, offset: int) -> None:
    """Commit the offset after the message at the head of a partition.

    Kafka accepts that from a client that is no member only while the group has no members.
    Raises `StateConflict` unless the message is at the head and the group has no members.
    """
    place, group = TopicPartition(topic, partition), options.group_of(topic)
    async with _connected(AIOKafkaAdminClient(**options.client())) as admin:
        working = sorted(await members(admin, [group]))
    if working:
        raise StateConflict(
            f"the workers on {', '.join(working)} receive {topic}: stop the workers with this "
            "role on all hosts; Kafka may keep a worker that was killed for 10 seconds"
        )
    client = AIOKafkaConsumer(**options.client(), group_id=group, enable_auto_commit=False)
    async with _connected(client) as committer:
        committer.assign([place])
        committed = await committer.committed(place)
        head = max((await committer.beginning_offsets([place]))[place], committed or 0)
        if offset != head:
            raise StateConflict(f"the message at the head of the partition is now {head}")
        try:
            await committer.commit({place: offset + 1})
        except CommitFailedError:
            raise StateConflict(f"a worker has just begun to receive {topic}") from None


@asynccontextmanager
async def _connected(client: Any) -> AsyncIterator[Any]:
    """Yield a started client with a time limit, and stop the client at the end."""
    stop = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
    try:
        async with asyncio.timeout(_SECONDS):
            await client.start()
            yield client
    except TimeoutError:
        raise Unavailable(f"Kafka does not answer within {_SECONDS:g} seconds") from None
    except (KafkaError, OSError) as error:
        raise translated(error) from error
    finally:
        await stop()
