"""The whole runtime on real Kafka: both ways, poison, dead letters, and an unavailable broker."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from tests.kafka.cluster import GIVEN, Cluster, open_cluster
from tests.kafka.topics import admin, delete_topics
from tests.support.flow import DEADLINE_SECONDS, Flow, open_flow
from tests.support.wait import until
from zenskar import Push
from zenskar.db import outbox
from zenskar.errors import CallFailed, Failure, FailureKind
from zenskar.ids import new_id
from zenskar.model.envelope import DEAD_LETTER, INBOUND, OUTBOUND


def settings(bootstrap: str, **more: Any) -> dict[str, Any]:
    return {
        "kafka_bootstrap_servers": bootstrap,
        "kafka_group": new_id(),
        "kafka_partitions": 4,
        "kafka_send_timeout_seconds": 2.0,
    } | more


@pytest.fixture
async def flow(kafka: str, database_url: str) -> AsyncIterator[Flow]:
    await delete_topics(kafka)
    async with open_flow(database_url, **settings(kafka, retry_max_attempts=2)) as flow:
        yield flow


async def put(bootstrap: str, topic: str, key: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(topic, value, key=key.encode())


async def read(bootstrap: str, topic: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer, asyncio.timeout(DEADLINE_SECONDS):
        return [await consumer.getone() for _ in range(count)]


async def dead(flow: Flow, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    async def enough() -> bool:
        found[:] = await flow.rows("SELECT * FROM sync_events WHERE status = 'dead' ORDER BY id")
        return len(found) >= count

    await until(enough)
    return found


async def test_a_customer_travels_both_ways(flow: Flow) -> None:
    record_id = await flow.create(name="Ada")
    await flow.settle()
    system = flow.systems["fake"]
    (external_id,) = system.objects
    system.edit(external_id, name="Eve")
    await flow.deliver()

    async def arrived() -> bool:
        return bool((await flow.record(record_id))["name"] == "Eve")

    await until(arrived)
    await flow.settle()
    assert len(system.objects) == 1


@pytest.mark.parametrize("topic", [INBOUND, OUTBOUND])
async def test_poison_becomes_a_dead_letter_and_others_flow(
    kafka: str, flow: Flow, topic: str
) -> None:
    newer = orjson.dumps({"specversion": "1.0", "id": "x"})
    for value in (b"\xff\x00 no json", newer):
        await put(kafka, topic, "fake:cus_1", value)
    await dead(flow, 2)
    letters = await read(kafka, DEAD_LETTER, 2)
    assert {letter.value for letter in letters} == {b"\xff\x00 no json", newer}
    headers = {name: value.decode() for name, value in letters[0].headers}
    assert headers["zenskar-topic"] == topic
    assert headers["zenskar-error-class"] == "rejected"
    assert headers["zenskar-attempts"] == "1"
    assert headers["zenskar-partition"].isdecimal()
    assert headers["zenskar-offset"].isdecimal()
    record_id = await flow.create()
    await flow.settle()
    assert (await flow.mapping(record_id))["state"] == "active"


async def test_a_message_on_the_wrong_topic_stops_no_worker(kafka: str, flow: Flow) -> None:
    """With a key that PostgreSQL refuses, an empty header and a header that is too long."""
    await flow.create()
    await flow.settle()
    (outbound,) = await read(kafka, OUTBOUND, 1)
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for key in (b"oops", b"a\x00b"):
            headers = [("empty", None), ("zenskar-attempts", b"9" * 5000)]
            await producer.send_and_wait(INBOUND, outbound.value, key=key, headers=headers)
    letters = await dead(flow, 2)
    assert {letter["source_system"] for letter in letters} == {"unreadable"}
    assert {letter.value for letter in await read(kafka, DEAD_LETTER, 2)} == {outbound.value}
    flow.systems["fake"].create(name="Grace")
    await flow.deliver()
    assert flow.runtime.progress.problems() == []


async def put_undecodable(bootstrap: str, topic: str) -> None:
    """Write a record with a header name that is not UTF-8, as other clients can."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.partitions_for(topic)
        batch = producer.create_batch()
        batch.append(timestamp=None, key=b"k", value=b"{}", headers=[("bad-name", b"x")])
        built = bytearray(batch._build()).replace(b"bad-name", b"\xff" * 8)
        built[17:21] = struct.pack(">I", calc_crc32c(bytes(built[21:])))
        batch._buffer = built
        await (await producer.send_batch(batch, topic, partition=0))


async def test_a_record_that_cannot_be_decoded_stops_no_worker(kafka: str, flow: Flow) -> None:
    for _ in range(2):
        await put_undecodable(kafka, INBOUND)
    (letter, _) = await dead(flow, 2)
    assert letter["reason"] == "unreadable"
    system = flow.systems["fake"]
    for number in range(8):
        system.create(name=f"Customer {number}")
    while system.webhooks:
        await flow.runtime.ingress.accept("fake", system.webhooks.pop(), "c")
    await until(lambda: flow.scalar("SELECT count(*) = 8 FROM customers"), 60)


async def test_used_up_attempts_end_on_the_topic_of_dead_letters(kafka: str, flow: Flow) -> None:
    async def fail(_push: Push) -> None:
        raise CallFailed(Failure(FailureKind.TRANSIENT, "not now"))

    flow.systems["fake"].on_the_way = fail
    record_id = await flow.create()
    (event,) = await dead(flow, 1)
    (letter,) = await read(kafka, DEAD_LETTER, 1)
    headers = {name: value.decode() for name, value in letter.headers}
    assert orjson.loads(letter.value)["data"]["entity_id"] == record_id
    assert headers["zenskar-sync-event"] == str(event["id"])
    assert (headers["zenskar-error-class"], headers["zenskar-attempts"]) == ("transient", "2")
    assert orjson.loads(event["payload"])["id"] == str(event["id"])


async def test_a_whole_replay_changes_nothing(kafka: str, flow: Flow) -> None:
    record_id = await flow.create(name="Ada")
    await flow.settle()
    system = flow.systems["fake"]
    system.edit(next(iter(system.objects)), name="Eve")
    await flow.deliver()

    async def arrived() -> bool:
        return bool((await flow.record(record_id))["name"] == "Eve")

    await until(arrived)
    before = await flow.rows("SELECT id, status, updated_at FROM sync_events ORDER BY id")
    for topic in (OUTBOUND, INBOUND):
        for record in await read(kafka, topic, 1):
            await put(kafka, topic, record.key.decode(), record.value)
    marker = await flow.create(name="Marker")
    await flow.settle()
    assert (await flow.mapping(marker))["state"] == "active"
    after = await flow.rows("SELECT id, status, updated_at FROM sync_events ORDER BY id")
    assert after[: len(before)] == before


@pytest.fixture
async def own_cluster(home: Path) -> AsyncIterator[Cluster]:
    """A cluster that a test may kill, also when the shared cluster was given."""
    async with open_cluster(home, environment={GIVEN: ""}) as cluster:
        yield cluster


async def test_while_the_broker_is_away_everything_is_taken_and_flows_afterwards(
    own_cluster: Cluster, database_url: str
) -> None:
    async with open_flow(database_url, **settings(own_cluster.bootstrap)) as flow:
        first = await flow.create(name="Ada")
        await flow.settle()
        await own_cluster.brokers[0].kill()
        second = await flow.create(name="Bob", email="bob@example.com")
        system = flow.systems["fake"]
        system.edit(next(iter(system.objects)), name="Eve")
        waiting = system.webhooks
        async with asyncio.timeout(DEADLINE_SECONDS):
            while waiting:
                await flow.runtime.ingress.accept("fake", waiting.pop(0), "test")
        assert await flow.scalar("SELECT count(*) FROM outbox") >= 2
        report = await flow.runtime.services().health.ready()
        assert (report.checks["bus"].status, report.http_status) == ("degraded", 200)
        await own_cluster.start_broker()

        async def equal() -> bool:
            mapped = await flow.scalar(
                "SELECT count(*) FROM external_mappings WHERE state = 'active'"
            )
            return mapped == 2 and (await flow.record(first))["name"] == "Eve"

        await until(equal, 60)
        await flow.settle()
        assert (await flow.mapping(second))["state"] == "active"


async def test_kafka_that_is_away_at_the_start_is_waited_for(
    own_cluster: Cluster, database_url: str
) -> None:
    await own_cluster.brokers[0].kill()
    async with open_flow(database_url, **settings(own_cluster.bootstrap)) as flow:
        record_id = await flow.create()
        await own_cluster.start_broker()

        async def mapped() -> bool:
            return bool(await flow.scalar("SELECT count(*) FROM external_mappings") == 1)

        await until(mapped, 60)
        assert (await flow.mapping(record_id))["state"] == "active"


async def test_a_dead_letter_that_cannot_be_written_keeps_its_source(
    kafka: str, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, write = asyncio.Event(), outbox.insert_rows

    async def fail(_connection: Any, rows: Sequence[outbox.OutboxRow]) -> None:
        if any(row.topic == DEAD_LETTER for row in rows):
            tried.set()
            raise OSError("the database is away")

    monkeypatch.setattr(outbox, "insert_rows", fail)
    await put(kafka, INBOUND, "fake:cus_1", b"no json")
    async with asyncio.timeout(DEADLINE_SECONDS):
        await tried.wait()
    group = f"{flow.runtime.settings.kafka_group}.{INBOUND}"
    async with admin(kafka) as client:
        known = await client.list_consumer_group_offsets(group)
    assert sum(max(0, each.offset) for each in known.values()) == 0
    assert await flow.scalar("SELECT count(*) FROM sync_events") == 0
    monkeypatch.setattr(outbox, "insert_rows", write)
    await dead(flow, 1)
    (letter,) = await read(kafka, DEAD_LETTER, 1)
    assert letter.value == b"no json"
