"""The offsets of the groups, and their reset."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from tests.kafka.topics import admin
from zenskar.model.envelope import INBOUND, OUTBOUND

CONSUMED = (OUTBOUND, INBOUND)


async def lag(bootstrap: str, group: str) -> int:
    """Return the number of unprocessed messages."""
    waiting = 0
    async with admin(bootstrap) as client, _reader(bootstrap) as consumer:
        for topic in CONSUMED:
            partitions = await _partitions(client, topic)
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.beginning_offsets(partitions)
            done = await client.list_consumer_group_offsets(f"{group}.{topic}")
            for partition in partitions:
                committed = done[partition].offset if partition in done else -1
                waiting += ends[partition] - max(committed, begins[partition])
    return waiting


async def begin_anew(bootstrap: str, group: str) -> int:
    """Reset the offsets of groups without members; return the number of messages to read again."""
    total = 0
    async with admin(bootstrap) as client:
        for topic in CONSUMED:
            partitions = await _partitions(client, topic)
            async with _reader(bootstrap, f"{group}.{topic}") as consumer:
                consumer.assign(partitions)
                begins = await consumer.beginning_offsets(partitions)
                ends = await consumer.end_offsets(partitions)
                await consumer.commit({p: OffsetAndMetadata(begins[p], "") for p in partitions})
            total += sum(ends[p] - begins[p] for p in partitions)
    return total


def _reader(bootstrap: str, group_id: str | None = None) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group_id, enable_auto_commit=False
    )


async def _partitions(client: AIOKafkaAdminClient, topic: str) -> list[TopicPartition]:
    (described,) = await client.describe_topics([topic])
    return [TopicPartition(topic, one["partition"]) for one in described["partitions"]]
