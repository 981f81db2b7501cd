"""The bus on real Kafka: nothing is lost, keys keep their order, the broker may stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.kafka.topics import admin, delete_topics
from tests.support.wait import until
from zenskar.bus.kafka import log as kafka_log
from zenskar.bus.kafka.bus import KafkaBus
from zenskar.bus.kafka.consumer import ATTEMPTS
from zenskar.bus.kafka.options import KafkaOptions
from zenskar.bus.kafka.topics import TOPICS, ensure_topics
from zenskar.bus.port import Delivery
from zenskar.bus.postgres.bus import PostgresBus
from zenskar.bus.postgres.notifier import Notifier
from zenskar.db.outbox import OutboxMessage
from zenskar.errors import ConfigurationError, Degraded, TooLarge
from zenskar.ids import new_id
from zenskar.model.envelope import OUTBOUND, Envelope
from zenskar.sync.reconcile.log_losses import losses

DEADLINE = 30


def message(number: int, key: str | None = None, *, text: str = "") -> OutboxMessage:
    data = {"source_system": "fake", "text": text}
    envelope = Envelope(str(number), "test", "t", "s", "2026-01-01T00:00:00Z", data, "c")
    return OutboxMessage(OUTBOUND, key or f"customer:{number}", "fake", envelope)


def number_of(delivery: Delivery) -> int:
    return int(orjson.loads(delivery.value)["id"])


@pytest.fixture
async def options(kafka: str) -> KafkaOptions:
    await delete_topics(kafka)
    return KafkaOptions(
        bootstrap_servers=kafka, group=new_id(), partitions=4, send_timeout_seconds=10
    )


@asynccontextmanager
async def open_bus(options: KafkaOptions, engine: AsyncEngine, url: str) -> AsyncIterator[KafkaBus]:
    outbox = PostgresBus(engine, Notifier(url), poll_seconds=0.2, lease_seconds=60)
    bus = KafkaBus(options, outbox, engine, poll_seconds=0.2)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


@pytest.fixture
async def bus(
    options: KafkaOptions, engine: AsyncEngine, database_url: str
) -> AsyncIterator[KafkaBus]:
    async with open_bus(options, engine, database_url) as bus:
        yield bus


async def receive(bus: KafkaBus, count: int, *, exclusive: bool = True) -> list[Delivery]:
    """Receive so many messages, and ack each at once."""
    found: list[Delivery] = []
    async with asyncio.timeout(DEADLINE):
        while len(found) < count:
            some = await bus.receive(OUTBOUND, 10, exclusive_keys=exclusive)
            await bus.ack(some)
            found += some
    return found


async def is_empty(bus: KafkaBus) -> bool:
    return [await bus.receive(OUTBOUND, 10, exclusive_keys=True) for _ in range(3)] == [[]] * 3


async def committed(options: KafkaOptions) -> int:
    async with admin(options.bootstrap_servers) as client:
        offsets = await client.list_consumer_group_offsets(f"{options.group}.{OUTBOUND}")
        return sum(max(0, known.offset) for known in offsets.values())


async def test_what_is_done_is_committed(options: KafkaOptions, bus: KafkaBus) -> None:
    await bus.publish([message(n) for n in range(20)])
    await receive(bus, 20)

    async def all_of_it() -> bool:
        return await committed(options) == 20

    await until(all_of_it, DEADLINE)


async def test_what_is_given_back_comes_again(bus: KafkaBus) -> None:
    await bus.publish([message(1)])
    async with asyncio.timeout(DEADLINE):
        while not (taken := await bus.receive(OUTBOUND, 1, exclusive_keys=True)):
            pass
    await bus.requeue(taken)
    assert await receive(bus, 1) == taken
    await bus.requeue(taken)
    assert await is_empty(bus)


async def relay_once(bus: KafkaBus) -> None:
    async with asyncio.timeout(DEADLINE):
        while not (waiting := await bus.outbox.receive(OUTBOUND, 10, exclusive_keys=True)):
            pass
    await bus.forward(waiting)
    await bus.outbox.ack(waiting)


async def test_a_deferred_message_waits_in_the_outbox_and_counts_its_attempts(
    bus: KafkaBus,
) -> None:
    await bus.publish([message(1)])
    async with asyncio.timeout(DEADLINE):
        while not (taken := await bus.receive(OUTBOUND, 1, exclusive_keys=True)):
            pass
    await bus.nack(taken, 0.05)
    assert await bus.depth() == {OUTBOUND: 1}
    await relay_once(bus)
    (again,) = await receive(bus, 1)
    assert (again.value, again.attempts, again.headers) == (taken[0].value, 2, {ATTEMPTS: "2"})
    assert await bus.depth() == {}


async def test_a_parked_message_counts_no_attempt(bus: KafkaBus, engine: AsyncEngine) -> None:
    await bus.publish([message(1)])
    async with asyncio.timeout(DEADLINE):
        while not (taken := await bus.receive(OUTBOUND, 1, exclusive_keys=True)):
            pass
    await bus.park(taken)
    async with engine.begin() as db:
        row = (await db.execute(text("SELECT attempts, parked FROM outbox"))).one()
        await db.execute(text("UPDATE outbox SET available_at = now()"))
    assert tuple(row) == (0, True)
    await relay_once(bus)
    assert (await receive(bus, 1))[0].attempts == 1


async def test_two_members_share_the_partitions_and_a_third_loses_nothing(
    options: KafkaOptions, engine: AsyncEngine, database_url: str
) -> None:
    seen: set[int] = set()
    stopping = asyncio.Event()

    async def consume(bus: KafkaBus) -> int:
        mine = 0
        while not stopping.is_set():
            some = await bus.receive(OUTBOUND, 5, exclusive_keys=True)
            seen.update(number_of(d) for d in some)
            mine += len(some)
            await bus.ack(some)
        return mine

    async with (
        open_bus(options, engine, database_url) as one,
        open_bus(options, engine, database_url) as two,
    ):
        tasks = [asyncio.create_task(consume(bus)) for bus in (one, two)]
        await one.publish([message(n) for n in range(200)])
        async with open_bus(options, engine, database_url) as three:
            tasks.append(asyncio.create_task(consume(three)))
            await one.publish([message(n) for n in range(200, 400)])

            async def all_seen() -> bool:
                return len(seen) == 400

            await until(all_seen, DEADLINE)
            stopping.set()
            shares = await asyncio.gather(*tasks)
    assert sum(shares) >= 400


async def test_a_message_that_is_too_large_publishes_nothing(bus: KafkaBus) -> None:
    with pytest.raises(TooLarge):
        await bus.publish([message(1), message(2, text="x" * 1_100_000)])
    assert await bus.depth() == {}


@pytest.mark.parametrize("compression", ["gzip", "lz4", "snappy", "zstd"])
async def test_compressed_messages_are_read(
    options: KafkaOptions, engine: AsyncEngine, database_url: str, compression: str
) -> None:
    packed = replace(options, compression=compression)
    async with open_bus(packed, engine, database_url) as bus:
        await bus.publish([message(n, text="x" * 1000) for n in range(10)])
        assert {number_of(d) for d in await receive(bus, 10)} == set(range(10))


async def test_topics_are_made_as_configured(options: KafkaOptions) -> None:
    await ensure_topics(options, timeout_seconds=DEADLINE)
    await ensure_topics(options, timeout_seconds=DEADLINE)
    async with admin(options.bootstrap_servers) as client:
        described = await client.describe_topics(list(TOPICS))
    assert {one["topic"]: len(one["partitions"]) for one in described} == dict.fromkeys(TOPICS, 4)


async def test_a_topic_that_may_not_be_made_is_named(options: KafkaOptions) -> None:
    with pytest.raises(ConfigurationError, match=r"no topic sync\.outbound.*4 partitions"):
        await ensure_topics(replace(options, create_topics=False), timeout_seconds=DEADLINE)


async def test_more_replicas_than_brokers_are_said_in_words(options: KafkaOptions) -> None:
    with pytest.raises(ConfigurationError, match=r"(?i)replication factor"):
        await ensure_topics(replace(options, replication=7), timeout_seconds=DEADLINE)


async def test_without_kafka_messages_wait_in_the_outbox(
    engine: AsyncEngine, database_url: str
) -> None:
    away = KafkaOptions(bootstrap_servers="127.0.0.1:1", send_timeout_seconds=0.5)
    async with open_bus(away, engine, database_url) as bus:
        await bus.publish([message(1)])
        assert await bus.depth() == {OUTBOUND: 1}
        with pytest.raises(Degraded, match="wait in the database"):
            await bus.check()


async def test_partitions_that_are_added_are_consumed(
    options: KafkaOptions, bus: KafkaBus, engine: AsyncEngine, database_url: str
) -> None:
    await bus.publish([message(1)])
    await receive(bus, 1)
    async with admin(options.bootstrap_servers) as client:
        await client.create_partitions({OUTBOUND: NewPartitions(8)})
    seen: set[int] = set()
    async with open_bus(options, engine, database_url) as other:
        await other.publish([message(n) for n in range(2, 42)])
    async with asyncio.timeout(90):
        while len(seen) < 40:
            some = await bus.receive(OUTBOUND, 10, exclusive_keys=True)
            await bus.ack(some)
            seen.update(number_of(d) for d in some)


def test_the_names_of_the_bus_are_those_of_the_contract() -> None:
    assert TOPICS == ("sync.outbound", "sync.inbound", "sync.dlq")


async def test_slow_work_costs_no_membership(
    options: KafkaOptions, engine: AsyncEngine, database_url: str
) -> None:
    """A job is busy for several times the interval in which a consumer must poll."""
    quick = replace(options, poll_interval_ms=500)
    async with open_bus(quick, engine, database_url) as bus:
        await bus.publish([message(n, "a") for n in range(1200)])
        async with asyncio.timeout(DEADLINE):
            while not (taken := await bus.receive(OUTBOUND, 1, exclusive_keys=True)):
                pass
        for _ in range(8):
            assert await bus.receive(OUTBOUND, 1, exclusive_keys=True) == []
        await bus.ack(taken)
        assert number_of((await receive(bus, 1))[0]) == 1

        async def first_two() -> bool:
            return await committed(options) == 2

        await until(first_two, DEADLINE)


async def test_what_is_left_to_do_is_known(bus: KafkaBus) -> None:
    await bus.publish([message(n, f"customer:{n}") for n in range(30)])
    await receive(bus, 10)
    assert 0 < bus.lag()[OUTBOUND] <= 20
    await receive(bus, 20)
    assert bus.lag() == {OUTBOUND: 0}


@pytest.mark.parametrize("step", ["beginning_offsets", "list_consumer_group_offsets"])
async def test_a_look_at_the_log_amid_traffic_finds_nothing_lost(
    options: KafkaOptions, bus: KafkaBus, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The ends were read before the groups' offsets, which were beyond them a moment later."""
    await bus.publish([message(0, "a")])
    await receive(bus, 1)
    owner = AIOKafkaConsumer if hasattr(AIOKafkaConsumer, step) else AIOKafkaAdminClient
    ask = getattr(owner, step)

    async def meanwhile(self: object, *arguments: object) -> object:
        monkeypatch.setattr(owner, step, ask)
        answer = await ask(self, *arguments)
        before = await committed(options)
        await bus.publish([message(n, "a") for n in range(1, 6)])
        await receive(bus, 5)

        async def on() -> bool:
            return await committed(options) >= before + 5

        await until(on, DEADLINE)
        return answer

    monkeypatch.setattr(owner, step, meanwhile)
    monkeypatch.setattr(kafka_log, "_SECONDS", DEADLINE)
    assert losses({}, await bus.log()) == []
