"""The log: the range and the owner of each partition, and the position of each group."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from zenskar.bus.kafka.errors import translated
from zenskar.bus.kafka.groups import members
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.port import LogRange
from zenskar.db.log_positions import Place
from zenskar.errors import Unavailable
from zenskar.model.envelope import INBOUND, OUTBOUND

_SECONDS = 5.0
_CONSUMED = (OUTBOUND, INBOUND)


async def read_log(options: KafkaOptions) -> Mapping[Place, LogRange]:
    """Return the range of every partition of the consumed topics.

    Raises `Unavailable` when Kafka does not answer, and `ConfigurationError` when it refuses.
    """
    admin = AIOKafkaAdminClient(**options.client())
    reader = AIOKafkaConsumer(**options.client(), group_id=None)
    try:
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(admin.start(), reader.start())
            partitions = await _partitions(admin)
            # In this order: all three grow meanwhile, and none may seem to be beyond the next.
            begins = await reader.beginning_offsets(partitions)
            committed = [
                await admin.list_consumer_group_offsets(options.group_of(topic))
                for topic in _CONSUMED
            ]
            ends = await reader.end_offsets(partitions)
            found = await members(admin, [options.group_of(topic) for topic in _CONSUMED])
    except TimeoutError:
        raise Unavailable(f"Kafka does not answer within {_SECONDS:g} seconds") from None
    except (KafkaError, OSError) as error:
        raise translated(error) from error
    finally:
        await asyncio.gather(admin.close(), reader.stop(), return_exceptions=True)
    done = {partition: entry.offset for group in committed for partition, entry in group.items()}
    owners = {place: host for host, places in found.items() for place in places}
    return {
        (p.topic, p.partition): LogRange(
            begins[p], ends[p], _offset(done.get(p)), owners.get((p.topic, p.partition))
        )
        for p in partitions
    }


async def _partitions(admin: AIOKafkaAdminClient) -> Sequence[TopicPartition]:
    described = await admin.describe_topics(list(_CONSUMED))
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]


def _offset(committed: int | None) -> int | None:
    return None if committed is None or committed < 0 else committed
