"""Webhooks applied to a catalog of a million customers, beside a catalog of a hundred thousand."""

import asyncpg

from benchmarks.bench import Bench, Comparison, Target, interleaved, median
from benchmarks.inbound import product_round
from benchmarks.product import open_product

TITLE = "Webhooks applied: 1,000,000 customers and mappings | 100,000"
EVENTS, LARGE, SMALL, LONG = 6000, 1_000_000, 100_000, True

_CUSTOMERS = """
    INSERT INTO customers (id, name, email, phone, address, metadata)
    SELECT gen_random_uuid(), 'Customer ' || n, 'customer.' || n || '@example.org', '+41' || n,
        '{"line1": "Bahnhofstrasse 1", "city": "Zürich", "country": "CH"}',
        jsonb_build_object('number', CAST(n AS text))
    FROM generate_series(1, $1) AS n
"""
_MAPPINGS = """
    INSERT INTO external_mappings (source_system, entity_type, external_id, entity_id, base,
        asof_low, asof_high, synced_version)
    SELECT 'stripe', 'customer', 'cus_filler' || row_number() OVER (), id,
        jsonb_build_object('/name', name, '/email', email), 1, 2, version
    FROM customers
"""


async def run(bench: Bench) -> Comparison:
    """Measure on two databases that were filled before."""
    count, postgres = bench.count(EVENTS), await bench.postgres()
    server = {"postgres": [postgres.process.pid]}
    large, small = await postgres.new_database(), await postgres.new_database()
    async with (
        open_product(bench.folder, large) as most,
        open_product(bench.folder, small) as fewer,
    ):
        await _fill(large, LARGE)
        await _fill(small, SMALL)
        found = await interleaved(
            bench.rounds,
            {
                "large": product_round(bench, most, server, count),
                "small": product_round(bench, fewer, server, count),
            },
        )
    ratio = median(found["large"], "rate") / median(found["small"], "rate")
    target = Target("rate with a million against a hundred thousand", 0.9, round(ratio, 3))
    return Comparison(ratio, found["large"], found["small"], (target,))


async def _fill(database: str, customers: int) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(_CUSTOMERS, customers, timeout=600)
    await connection.execute(_MAPPINGS, timeout=600)
    await connection.execute("ANALYZE")
    await connection.close()
