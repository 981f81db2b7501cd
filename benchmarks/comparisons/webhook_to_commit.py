"""From the moment a webhook is due to the commit that applied it, at 400 a second."""

import time

import asyncpg

from benchmarks.bench import Bench, Comparison, Measurement, Target, interleaved, median
from benchmarks.events import Series, event_id
from benchmarks.load import pace, quantile
from benchmarks.machine import Meter
from benchmarks.product import open_product
from tests.kafka.processes import until

TITLE = "Latency from webhook to commit at 400/s"
EVENTS, RATE, SENDERS = 2000, 400.0, 32

_COMMITS = """
    SELECT external_event_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at
    FROM sync_events WHERE external_event_id LIKE $1 || '%'
"""


async def run(bench: Bench) -> Comparison:
    """Measure with API and worker on the bus of PostgreSQL."""
    count, postgres = bench.count(EVENTS), await bench.postgres()
    database = await postgres.new_database()
    done = 0
    async with open_product(bench.folder, database) as product:

        async def turn(number: int) -> Measurement:
            nonlocal done
            series = Series(count, count // 5, number)
            requests, sample = list(series.requests("/webhooks/stripe")), series.sample()
            meter = Meter({"postgres": [postgres.process.pid], **product.pids()})
            offset = time.time() - time.perf_counter()
            due: list[float] = []
            sent = await pace(product.port, requests, SENDERS, RATE, due)
            done += count
            await until(lambda: product.settled("inbound", done, sample), 120, "the last event")
            bench.note(meter.stop())
            assert sent.statuses == {200: count}, sent.statuses
            commits = await _commits(database, event_id(number, 0)[:11])
            waited = [
                commits[event_id(number, n)] - (moment + offset) for n, moment in enumerate(due)
            ]
            return {
                "p50_ms": round(quantile(waited, 0.5) * 1000, 2),
                "p99_ms": round(quantile(waited, 0.99) * 1000, 2),
                "ack_p50_ms": round(sent.quantile(0.5), 2),
                "ack_p99_ms": round(sent.quantile(0.99), 2),
            }

        ours = (await interleaved(bench.rounds, {"ours": turn}))["ours"]
    return Comparison(
        None,
        ours,
        targets=(
            Target("p50 in ms", 15, median(ours, "p50_ms"), at_most=True),
            Target("p99 in ms", 30, median(ours, "p99_ms"), at_most=True),
        ),
    )


async def _commits(database: str, prefix: str) -> dict[str, float]:
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(_COMMITS, prefix)
    await connection.close()
    return {row["external_event_id"]: row["at"] for row in rows}
