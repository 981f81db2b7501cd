"""Webhooks acknowledged once they are durable, beside a server that only checks and parses."""

from benchmarks import events
from benchmarks.bench import Bench, Comparison, Target, interleaved, median
from benchmarks.inbound import server_round
from benchmarks.product import open_product
from benchmarks.programs import contender, listening
from tests.kafka.cluster import free_ports

TITLE = "Webhooks acknowledged durably: zenskar | bare aiohttp that verifies and parses"
EVENTS = 8000


async def run(bench: Bench) -> Comparison:
    """Measure the API alone, without a worker."""
    count, postgres = bench.count(EVENTS), await bench.postgres()
    (port,) = free_ports(1)
    command = contender("verify_and_parse", str(port), events.SECRET)
    database = await postgres.new_database()
    async with (
        open_product(bench.folder, database, workers=0) as product,
        listening("verify-and-parse", bench.folder, port, command) as bare,
    ):
        parts = {"postgres": [postgres.process.pid], **product.pids()}
        path = "/webhooks/stripe"
        found = await interleaved(
            bench.rounds,
            {
                "ours": server_round(bench, product.port, parts, count, path),
                "theirs": server_round(bench, port, {"server": [bare.pid]}, count, path),
            },
        )
    ours, theirs = found["ours"], found["theirs"]
    ratio = median(ours, "rate") / median(theirs, "rate")
    return Comparison(
        ratio,
        ours,
        theirs,
        (
            Target("rate against verify and parse alone", 0.7, round(ratio, 3)),
            Target("p99 in ms, 32 senders", 15, median(ours, "p99_ms"), at_most=True),
        ),
    )
