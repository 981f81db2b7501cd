"""The same webhooks over the bus on PostgreSQL and over Kafka, on this one machine."""

from benchmarks.bench import Bench, Comparison, Target, interleaved, median
from benchmarks.inbound import product_round
from benchmarks.product import open_product

TITLE = "Webhooks applied: bus on PostgreSQL | bus on Kafka"
EVENTS = 6000


async def run(bench: Bench) -> Comparison:
    """Measure both with API and worker."""
    count, postgres = bench.count(EVENTS), await bench.postgres()
    server = {"postgres": [postgres.process.pid]}
    async with (
        bench.kafka() as (bootstrap, brokers),
        open_product(bench.folder, await postgres.new_database()) as embedded,
        open_product(
            bench.folder,
            await postgres.new_database(),
            ZENSKAR_KAFKA_BOOTSTRAP_SERVERS=bootstrap,
        ) as scaled,
    ):
        found = await interleaved(
            bench.rounds,
            {
                "postgres": product_round(bench, embedded, server, count),
                "kafka": product_round(bench, scaled, server | {"broker": brokers}, count),
            },
        )
    ratio = median(found["postgres"], "rate") / median(found["kafka"], "rate")
    target = Target("rate against Kafka", 1.0, round(ratio, 3))
    return Comparison(ratio, found["postgres"], found["kafka"], (target,))
