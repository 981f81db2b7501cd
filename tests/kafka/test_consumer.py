"""A consumer is one member of its group, with any number of receivers, and leaves nothing."""

import asyncio
import gc

import pytest
from aiokafka import AIOKafkaConsumer

from tests.kafka.topics import delete_topics
from zenskar.bus.kafka.consumer import KafkaConsumer
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.producer import KafkaProducer, KafkaRecord
from zenskar.bus.kafka.topics import ensure_topics
from zenskar.bus.port import Delivery
from zenskar.ids import new_id
from zenskar.model.envelope import INBOUND

SESSION_SECONDS = 10


@pytest.fixture
async def consumer(kafka: str) -> KafkaConsumer:
    await delete_topics(kafka)
    options = KafkaOptions(bootstrap_servers=kafka, group=new_id(), partitions=4)
    await ensure_topics(options, timeout_seconds=20)
    return KafkaConsumer(options, INBOUND, exclusive=False, most_waiting=100)


def pumps() -> int:
    return sum(task.get_name() == f"pump {INBOUND}" for task in asyncio.all_tasks())


async def test_two_that_receive_at_once_are_one_member(consumer: KafkaConsumer) -> None:
    """Two members would take partitions from each other, and one of them would never leave."""
    await asyncio.gather(consumer.receive(10, 0.1), consumer.receive(10, 0.1))
    assert pumps() == 1
    await consumer.stop()
    assert pumps() == 0


async def test_one_that_joins_waits_for_the_session_of_one_that_was_killed(
    consumer: KafkaConsumer, kafka: str
) -> None:
    """A member that left and joined again would restart the wait for the whole group."""
    options = KafkaOptions(bootstrap_servers=kafka, group=consumer._options.group, partitions=4)
    killed = await joined(options)
    try:
        producer = KafkaProducer(options)
        await producer.send([KafkaRecord(INBOUND, "key", b"value")])
        await producer.stop()
        taken: list[Delivery] = []
        async with asyncio.timeout(SESSION_SECONDS * 3):
            while not taken:
                taken = await consumer.receive(10, 0.5)
        assert [delivery.value for delivery in taken] == [b"value"]
    finally:
        await killed.stop()
        await consumer.stop()


async def test_one_that_was_full_goes_on_as_soon_as_there_is_room(
    consumer: KafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its partitions paused a poll lasts its full time, even if they resume meanwhile."""
    monkeypatch.setattr("zenskar.bus.kafka.consumer._POLL_MS", 60_000)
    monkeypatch.setattr("zenskar.bus.kafka.consumer._FETCH_RECORDS", 1)
    options = consumer._options
    narrow = KafkaConsumer(options, INBOUND, exclusive=False, most_waiting=1)
    producer = KafkaProducer(options)
    await producer.send([KafkaRecord(INBOUND, f"key {n}", b"value") for n in range(3)])
    await producer.stop()
    try:
        async with asyncio.timeout(30):
            for _ in range(3):
                (delivery,) = await narrow.receive(10, 30)
                narrow.ack([delivery])
    finally:
        await narrow.stop()


async def joined(options: KafkaOptions) -> AIOKafkaConsumer:
    """Return a member with all partitions that sends no more heartbeats."""
    member = AIOKafkaConsumer(
        INBOUND,
        bootstrap_servers=options.bootstrap_servers,
        group_id=f"{options.group}.{INBOUND}",
        session_timeout_ms=SESSION_SECONDS * 1000,
        heartbeat_interval_ms=1_000_000,
    )
    await member.start()
    return member


async def test_one_that_is_cut_off_while_it_joins_leaves_nothing_open(
    consumer: KafkaConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    receiving = asyncio.create_task(consumer.receive(10, 0.1))
    for _ in range(5):
        await asyncio.sleep(0)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    await consumer.stop()
    del consumer, receiving
    gc.collect()
    assert "Unclosed" not in caplog.text
