"""Fetch records, also when the client cannot decode one of them.

Such a record would be met again and again, and nothing behind it be read. So it is stepped over,
and delivered as what is known of it: its place.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError

from zenskar.bus.kafka.errors import translated
from zenskar.telemetry.logs import get_logger

_STEP_MS = 50
_log = get_logger(__name__)

Records = Mapping[TopicPartition, Sequence[Any]]


class Undecodable(Exception):
    """The client met a record that it cannot decode; nothing that it holds can be relied upon."""


class Placeholder(NamedTuple):
    """Stands for a record of which only the place is known."""

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


async def fetch(consumer: AIOKafkaConsumer, timeout_ms: int, most: int) -> Records:
    """Return the next records of all partitions.

    Raises `Undecodable`, after which the client has lost records and has to be replaced, and
    what other errors of Kafka mean.
    """
    try:
        found: Records = await consumer.getmany(timeout_ms=timeout_ms, max_records=most)
    except CorruptRecordException as error:
        raise Undecodable from error
    except KafkaError as error:
        raise translated(error) from error
    except Exception as error:
        raise Undecodable from error
    return found


async def fetch_one_by_one(consumer: AIOKafkaConsumer) -> Records:
    """Return the next record of each partition, a placeholder for one that cannot be decoded."""
    found: dict[TopicPartition, Sequence[Any]] = {}
    there = consumer.assignment() - consumer.paused()
    if not there:
        await asyncio.sleep(_STEP_MS / 1000)
    for partition in there:
        try:
            found |= await consumer.getmany(partition, timeout_ms=_STEP_MS, max_records=1)
        except (CorruptRecordException, UnicodeError, ValueError, TypeError) as error:
            offset = await consumer.position(partition)
            consumer.seek(partition, offset + 1)
            found[partition] = [Placeholder(partition.topic, partition.partition, offset)]
            _log.error(
                "record_undecodable",
                topic=partition.topic,
                partition=partition.partition,
                offset=offset,
                error=type(error).__name__,
            )
        except KafkaError as error:
            raise translated(error) from error
    return found
