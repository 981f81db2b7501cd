"""Read the messages of a topic since a time, without a consumer group."""

from collections.abc import AsyncGenerator
from datetime import datetime

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from zenskar.bus.kafka.errors import translated
from zenskar.bus.kafka.options import KafkaOptions

_POLL_MS = 1_000


async def values_since(
    options: KafkaOptions, topic: str, since: datetime
) -> AsyncGenerator[list[bytes], None]:
    """Yield the values of a topic from a time to its current end, in batches.

    Raises `Unavailable` when Kafka is unavailable.
    """
    # Without a group, a consumer receives every partition of its topic.
    consumer = AIOKafkaConsumer(topic, **options.client(), enable_auto_commit=False)
    try:
        await consumer.start()
        async for batch in _batches(consumer, since):
            yield batch
    except (KafkaError, OSError) as error:
        raise translated(error) from error
    finally:
        await consumer.stop()


async def _batches(
    consumer: AIOKafkaConsumer, since: datetime
) -> AsyncGenerator[list[bytes], None]:
    partitions = consumer.assignment()
    moment = int(since.timestamp() * 1000)
    starts = await consumer.offsets_for_times(dict.fromkeys(partitions, moment))
    ends = await consumer.end_offsets(partitions)
    left = {p: ends[p] for p, start in starts.items() if start and start.offset < ends[p]}
    consumer.pause(*(p for p in partitions if p not in left))
    for partition in left:
        consumer.seek(partition, starts[partition].offset)
    while left:
        for partition, found in (await consumer.getmany(*left, timeout_ms=_POLL_MS)).items():
            yield [r.value for r in found if r.value and r.offset < left[partition]]
        for partition in list(left):
            if await consumer.position(partition) >= left[partition]:
                consumer.pause(partition)
                del left[partition]
