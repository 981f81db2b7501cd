"""A full topic, processed by zenskar's worker, by hand-written set-based SQL, by FastStream."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks import events
from benchmarks.bench import Bench, Comparison, Measurement, Target, figures, interleaved, median
from benchmarks.events import Series
from benchmarks.machine import Meter
from benchmarks.product import open_product, settled
from benchmarks.programs import contender, telling
from tests.kafka.processes import Process, until
from zenskar.db.schema import migrate
from zenskar.model.envelope import INBOUND
from zenskar.model.integration import WebhookRequest
from zenskar.runtime import open_runtime
from zenskar.settings import load
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.ingest.pipeline import WebhookPipeline

TITLE = "Worker on Kafka: zenskar | aiokafka getmany and set-based SQL (limit) | FastStream rows"
EVENTS, ROWS_SHARE = 48_000, 16
"""FastStream gets a sixteenth of the events: each takes twenty times as long."""

Record = tuple[bytes, bytes]


@dataclass(frozen=True)
class Load:
    """The messages of a round, and the ids of some of their events."""

    records: list[Record]
    sample: list[str]


async def run(bench: Bench) -> Comparison:
    """Measure from the resume of a stopped worker to its last event."""
    postgres, count = await bench.postgres(), bench.count(EVENTS)
    server = [postgres.process.pid]
    async with AsyncExitStack() as stack:
        bootstrap, brokers = await stack.enter_async_context(bench.kafka())
        database = await postgres.new_database()
        product = await stack.enter_async_context(
            open_product(
                bench.folder, database, api=False, ZENSKAR_KAFKA_BOOTSTRAP_SERVERS=bootstrap
            )
        )
        (worker,) = product.workers
        known = {"ours": (worker, database, INBOUND)}
        for name, program in (("limit", "handwritten"), ("faststream", "faststream_rows")):
            database = await _migrated(await postgres.new_database())
            await _make_topic(bootstrap, f"bench.{name}")
            command = contender(program, bootstrap, database, f"bench.{name}")
            process = await stack.enter_async_context(telling(name, bench.folder, command))
            known[name] = (process, database, f"bench.{name}")
        rounds = [await _records(database, count, n) for n in range(bench.rounds + 1)]
        few = [await _records(database, count // ROWS_SHARE, n) for n in range(bench.rounds + 1)]
        costs = {"broker": brokers, "postgres": server}
        found = await interleaved(
            bench.rounds,
            {
                name: _turn(
                    bench,
                    Consumer(process, database, topic),
                    bootstrap,
                    few if name == "faststream" else rounds,
                    costs,
                )
                for name, (process, database, topic) in known.items()
            },
        )
    ours, limit, faststream = found["ours"], found["limit"], found["faststream"]
    ratio = median(ours, "rate") / median(limit, "rate")
    rows = median(ours, "rate") / median(faststream, "rate")
    return Comparison(
        ratio,
        ours,
        limit,
        (
            Target("rate against the hand-written limit", 0.8, round(ratio, 3)),
            Target("rate against FastStream", 2.8, round(rows, 3)),
        ),
        {"faststream": faststream},
    )


@dataclass(frozen=True)
class Consumer:
    """A consumer of a topic, and its database."""

    process: Process
    database: str
    topic: str


def _turn(
    bench: Bench,
    consumer: Consumer,
    bootstrap: str,
    rounds: list[Load],
    costs: dict[str, list[int]],
) -> Callable[[int], Awaitable[Measurement]]:
    done = 0

    async def turn(number: int) -> Measurement:
        nonlocal done
        records, sample = rounds[number].records, rounds[number].sample
        process = consumer.process
        process.pause()
        await _fill(bootstrap, consumer.topic, records)
        done += len(records)
        connection = await asyncpg.connect(consumer.database)
        # Otherwise the hand-written plans depend on the time of autoanalyze.
        await connection.execute("ANALYZE")
        meter = Meter({"worker": [process.pid], **costs})
        began = time.perf_counter()
        process.resume()
        await until(lambda: settled(connection, "inbound", done, sample), 300, "the last event")
        seconds, cost = time.perf_counter() - began, meter.stop()
        await connection.close()
        bench.note(cost)
        return figures(len(records), seconds, cost)

    return turn


async def _records(database: str, count: int, number: int) -> Load:
    """Return the messages that zenskar's webhook pipeline makes of the events."""
    environment = {
        "STRIPE_API_KEY": events.API_KEY,
        "STRIPE_WEBHOOK_SECRET": events.SECRET,
        "ZENSKAR_CONNECTIONS": "stripe=stripe",
    }
    settings = load(environment, database_url=database)
    series, made = Series(count, count // 5, number), list[Record]()
    async with open_runtime(settings, environment) as runtime:
        reader = WebhookPipeline(runtime.context, runtime.schemas["event"])
        for index in range(count):
            body = series.event(index)
            headers = {"stripe-signature": events.signature(body)}
            request = WebhookRequest(headers, body, time.time())
            (item,) = reader.read([ReceivedWebhook("stripe", request, "bench")])
            made += [(e.made.key.encode(), e.made.encode()) for e in item.events]
    return Load(made, series.sample())


async def _fill(bootstrap: str, topic: str, records: list[Record]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    await producer.start()
    sent = [await producer.send(topic, value, key=key) for key, value in records]
    await asyncio.gather(*sent)
    await producer.stop()


async def _make_topic(bootstrap: str, topic: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=12, replication_factor=1)])
    await admin.close()


async def _migrated(database: str) -> str:
    await migrate.upgrade(database)
    return database
