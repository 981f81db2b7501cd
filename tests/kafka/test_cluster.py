"""The lane's own cluster: what it acknowledged is there after its broker was killed."""

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.kafka.cluster import open_cluster
from tests.kafka.jars import LaneUnavailable, chosen_version, distribution

RECORDS = [b"%d" % number for number in range(50)]


@pytest.mark.own_cluster
async def test_a_killed_broker_keeps_what_it_acknowledged(home: Path) -> None:
    async with open_cluster(home) as cluster:
        admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("kept", 1, 1)])
        await admin.close()
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
