"""The lane's own cluster: acknowledged messages stay, and an aborted start leaves nothing."""

import asyncio
import gc
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewTopic

from tests.kafka.cluster import open_cluster
from tests.kafka.jars import LaneUnavailable, chosen_version, distribution
from tests.kafka.topics import admin
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.producer import KafkaProducer, KafkaRecord
from zenskar.errors import Unavailable

RECORDS = [b"%d" % number for number in range(50)]


@pytest.mark.own_cluster
async def test_a_killed_broker_keeps_what_it_acknowledged(home: Path) -> None:
    async with open_cluster(home) as cluster:
        async with admin(cluster.bootstrap) as client:
            await client.create_topics([NewTopic("kept", 1, 1)])
        async with AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, acks="all") as producer:
            for record in RECORDS:
                await producer.send_and_wait("kept", record)
        await cluster.brokers[0].kill()
        await cluster.start_broker()
        consumer = AIOKafkaConsumer(
            "kept", bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest"
        )
        async with consumer:
            assert [(await consumer.getone()).value for _ in RECORDS] == RECORDS


@pytest.mark.own_cluster
async def test_a_producer_that_is_given_up_leaves_no_task_behind(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_cluster(home) as cluster:
        async with admin(cluster.bootstrap) as client:
            await client.create_topics([NewTopic("kept", 1, 1)])
        before = asyncio.all_tasks()
        producer = KafkaProducer(KafkaOptions(cluster.bootstrap, send_timeout_seconds=2))
        await producer.send([KafkaRecord("kept", "a", b"1")])
        cluster.brokers[0].pause()
        with pytest.raises(Unavailable, match="does not confirm"):
            await producer.send([KafkaRecord("kept", "a", b"2")])
        await producer.stop()
        cluster.brokers[0].resume()
        assert asyncio.all_tasks() - before == set()
        gc.collect()
    assert "destroyed" not in caplog.text


def test_without_java_or_maven_the_lane_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tests.kafka.jars.CACHE", tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None if name == "mvn" else name)
    with pytest.raises(LaneUnavailable, match="apt-get install maven"):
        distribution(chosen_version({}))
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(LaneUnavailable, match="apt-get install openjdk"):
        distribution(chosen_version({}))


def test_a_version_is_pinned_unless_it_is_given_in_full() -> None:
    assert chosen_version({}).startswith("3.4.")
    assert chosen_version({"KAFKA_VERSION": "4.x"}).startswith("4.")
    assert chosen_version({"KAFKA_VERSION": "4.1.2"}) == "4.1.2"
    with pytest.raises(LaneUnavailable, match=r"KAFKA_VERSION=5\.x"):
        chosen_version({"KAFKA_VERSION": "5.x"})
