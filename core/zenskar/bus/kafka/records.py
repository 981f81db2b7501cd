"""Fetch records, including records that the client cannot decode.

An undecodable record would block its partition. So the reader skips it, and delivers a
placeholder with its offset.
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
    """Raised when the client cannot decode a record: its buffered records are unreliable."""


class Placeholder(NamedTuple):
    """Replaces a record of which only topic, partition and offset are known."""

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


async def fetch(consumer: AIOKafkaConsumer, timeout_ms: int, most: int) -> Records:
    """Return the next records of all partitions.

    Raises `Undecodable`, after which the client has lost records and must be replaced.
    Raises the classes of `translated` for errors of Kafka.
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
    """Return the next record of each partition, a placeholder for an undecodable one.

    Raises the classes of `translated` for errors of Kafka.
    """
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
