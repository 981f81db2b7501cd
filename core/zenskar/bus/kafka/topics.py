"""The topics: created when they are missing, or named in an error."""

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from zenskar.bus.kafka.errors import translated
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.errors import ConfigurationError, Unavailable
from zenskar.model.envelope import DEAD_LETTER, INBOUND, OUTBOUND
from zenskar.telemetry.logs import get_logger

TOPICS = (OUTBOUND, INBOUND, DEAD_LETTER)
_MOST_REPLICAS = 3
_DAY_MS = 24 * 3600 * 1000
_RETENTION = "retention.ms"
_LOOK_SECONDS = 0.1
_log = get_logger(__name__)


async def ensure_topics(
    options: KafkaOptions, *, timeout_seconds: float, create: bool = True
) -> None:
    """Create the missing topics, or check that all exist.

    Raises `Unavailable` when Kafka does not answer in time, and `ConfigurationError` when a topic
    is missing and cannot be created.
    """
    admin = AIOKafkaAdminClient(**options.client())
    try:
        async with asyncio.timeout(timeout_seconds):
            await admin.start()
            # Kafka cannot create a topic that is being deleted; so repeat until all exist.
            while missing := [t for t in TOPICS if t not in await admin.list_topics()]:
                if not create:
                    raise ConfigurationError(f"Kafka has no topic {', '.join(missing)} yet")
                await _create(admin, options, missing)
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise Unavailable(f"Kafka does not answer within {timeout_seconds:g} seconds") from None
    except (KafkaError, OSError) as error:
        raise translated(error) from error
    finally:
        await asyncio.wait_for(_close(admin), timeout_seconds)


async def _create(
    admin: AIOKafkaAdminClient, options: KafkaOptions, missing: Sequence[str]
) -> None:
    if not options.create_topics:
        raise ConfigurationError(_advice(options, missing, "ZENSKAR_KAFKA_CREATE_TOPICS is off"))
    replicas = options.replication or await _replicas(admin)
    answer = await admin.create_topics([_new(topic, options, replicas) for topic in missing])
    for topic, code, *reason in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            why = str(reason[0] or error.__name__) if reason else error.__name__
            raise ConfigurationError(_advice(options, [topic], why))
        if not code:
            _log.info(
                "topic_created", topic=topic, partitions=options.partitions, replicas=replicas
            )


async def _replicas(admin: AIOKafkaAdminClient) -> int:
    cluster = await admin.describe_cluster()
    return min(_MOST_REPLICAS, len(cluster["brokers"]))


def _new(topic: str, options: KafkaOptions, replicas: int) -> NewTopic:
    """Return a new topic; with three replicas, a write needs two of them."""
    configs = {_RETENTION: str(_retention_ms(options))}
    if replicas >= _MOST_REPLICAS:
        configs["min.insync.replicas"] = "2"
    return NewTopic(topic, options.partitions, replicas, topic_configs=configs)


def _retention_ms(options: KafkaOptions) -> int:
    return int(options.retention_days * _DAY_MS)


async def short_lived(options: KafkaOptions, *, timeout_seconds: float) -> dict[str, float]:
    """Return the topics with a shorter retention than configured, with their days.

    Raises `Unavailable` when Kafka does not answer in time.
    """
    admin = AIOKafkaAdminClient(**options.client())
    try:
        async with asyncio.timeout(timeout_seconds):
            await admin.start()
            wanted = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in TOPICS]
            answers = await admin.describe_configs(wanted)
    except TimeoutError:
        raise Unavailable(f"Kafka does not answer within {timeout_seconds:g} seconds") from None
    except (KafkaError, OSError) as error:
        raise translated(error) from error
    finally:
        await asyncio.wait_for(_close(admin), timeout_seconds)
    kept = {
        name: int(entry[1])
        for answer in answers
        for _code, _reason, _kind, name, entries in answer.resources
        for entry in entries
        if entry[0] == _RETENTION
    }
    # -1 means no limit.
    return {
        topic: milliseconds / _DAY_MS
        for topic, milliseconds in kept.items()
        if 0 <= milliseconds < _retention_ms(options)
    }


def _advice(options: KafkaOptions, missing: Sequence[str], why: str) -> str:
    return (
        f"Kafka has no topic {', '.join(missing)} and it was not made ({why}): make it with "
        f"{options.partitions} partitions, or give this client the right to create topics"
    )


async def _close(admin: AIOKafkaAdminClient) -> None:
    await admin.close()
