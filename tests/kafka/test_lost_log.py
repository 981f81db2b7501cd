"""Losses of Kafka are detected and repaired: a lost disk, a topic that was created again."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from tests.kafka.cluster import GIVEN, Cluster, open_cluster
from tests.kafka.test_flow import settings
from tests.kafka.topics import admin, delete_topics
from tests.support.drift import names
from tests.support.flow import Flow, open_flow, running_worker
from tests.support.wait import until
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.topics import ensure_topics, short_lived
from zenskar.model.envelope import INBOUND

RECOVERY_SECONDS = 90


@pytest.fixture
async def own_cluster(home: Path) -> AsyncIterator[Cluster]:
    """A cluster whose broker may lose its disk."""
    async with open_cluster(home, environment={GIVEN: ""}) as cluster:
        yield cluster


async def fill(flow: Flow) -> None:
    """Leave answered webhooks and a relayed change on Kafka alone."""
    system = flow.systems["fake"]
    for number in range(3):
        system.create(name=f"There {number}")
    while system.webhooks:
        await flow.runtime.ingress.accept("fake", system.webhooks.pop(0), "c")
    await flow.create(name="Here")
    async with running_worker(flow.runtime, "relay"):
        await flow.until_scalar("SELECT NOT EXISTS (SELECT FROM outbox)")
    await flow.until_scalar("SELECT sum(end_offset) = 4 FROM log_positions")
    assert await names(flow) == ["Here"]


async def recovered(flow: Flow) -> None:
    """Wait until both sides hold everything, without a command."""

    async def equal() -> bool:
        there = {(data or {}).get("name") for data in flow.systems["fake"].objects.values()}
        expected = ["Here", "There 0", "There 1", "There 2"]
        return await names(flow) == expected == sorted(there)

    async with running_worker(flow.runtime):
        await until(equal, RECOVERY_SECONDS)
        await flow.settle()


def options(bootstrap: str, **more: Any) -> dict[str, Any]:
    return settings(bootstrap, resend_seconds=1.0, **more)


@pytest.mark.own_cluster
@pytest.mark.zookeeper
async def test_a_broker_that_lost_its_disk(
    own_cluster: Cluster, home: Path, database_url: str
) -> None:
    async with open_flow(database_url, working=False, **options(own_cluster.bootstrap)) as flow:
        await fill(flow)
        await own_cluster.brokers[0].kill()
        shutil.rmtree(home / "broker-1")
        await own_cluster.start_broker()
        await own_cluster.ready()
        await recovered(flow)


async def test_topics_that_were_made_anew(kafka: str, database_url: str) -> None:
    await delete_topics(kafka)
    async with open_flow(database_url, working=False, **options(kafka)) as flow:
        await fill(flow)
        await delete_topics(kafka)
        await ensure_topics(KafkaOptions(bootstrap_servers=kafka, partitions=2), timeout_seconds=20)
        await recovered(flow)


async def test_messages_that_were_deleted_before_they_were_read(
    kafka: str, database_url: str
) -> None:
    """Delete unread messages, as retention does."""
    await delete_topics(kafka)
    async with open_flow(database_url, working=False, **options(kafka)) as flow:
        await fill(flow)
        async with admin(kafka) as client:
            everything = {
                TopicPartition(topic, partition): RecordsToDelete(before_offset=-1)
                for topic, partition in (await flow.runtime.bus.log() or {})
            }
            await client.delete_records(everything)
        await recovered(flow)


async def test_topics_keep_messages_long_and_one_that_does_not_is_named(kafka: str) -> None:
    await delete_topics(kafka)
    made = KafkaOptions(bootstrap_servers=kafka, retention_days=3)
    await ensure_topics(made, timeout_seconds=20)
    assert await short_lived(made, timeout_seconds=20) == {}
    wanted = KafkaOptions(bootstrap_servers=kafka, retention_days=30)
    short = await short_lived(wanted, timeout_seconds=20)
    assert short[INBOUND] == 3
    assert len(short) == 3
