"""Webhooks acknowledged once they are durable, beside a server that only checks and parses."""

from collections.abc import Mapping

from benchmarks import events
from benchmarks.bench import Bench, Comparison, Spread, Target, interleaved, median
from benchmarks.inbound import SENDERS, best, by_senders, server_round, with_senders
from benchmarks.product import open_product
from benchmarks.programs import contender, listening
from tests.kafka.cluster import free_ports

TITLE = "Webhooks acknowledged durably: zenskar | bare aiohttp that verifies and parses"
EVENTS = 8000
CROWDS = (SENDERS, 64, 128, 256)


async def run(bench: Bench) -> Comparison:
    """Measure the API alone, without a worker, with few senders and with many."""
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
        ours = server_round(bench, product.port, parts, count, path)
        theirs = server_round(bench, port, {"server": [bare.pid]}, count, path)
        found = await interleaved(
            bench.rounds,
            by_senders("ours", ours, CROWDS) | by_senders("theirs", theirs, CROWDS),
        )
    return _comparison(found)


def _comparison(found: Mapping[str, Spread]) -> Comparison:
    ours, theirs, few = best(found, "ours"), best(found, "theirs"), with_senders("ours", SENDERS)
    ratio = median(found[ours], "rate") / median(found[theirs], "rate")
    return Comparison(
        ratio,
        found[ours],
        found[theirs],
        (
            Target("rate against verify and parse alone", 0.7, round(ratio, 3)),
            Target("p99 in ms, 32 senders", 15, median(found[few], "p99_ms"), at_most=True),
        ),
        found,
        f"{ours} against {theirs}; with as many senders on both sides: "
        + ", ".join(f"{senders}: {_same(found, senders):.2f}" for senders in CROWDS),
    )


def _same(found: Mapping[str, Spread], senders: int) -> float:
    ours, theirs = (found[with_senders(side, senders)] for side in ("ours", "theirs"))
    return median(ours, "rate") / median(theirs, "rate")
