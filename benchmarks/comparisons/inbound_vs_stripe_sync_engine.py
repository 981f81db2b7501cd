"""From a signed webhook to applied rows, beside @supabase/stripe-sync-engine behind Node."""

from contextlib import AsyncExitStack

from benchmarks import events, peers
from benchmarks.bench import Bench, Comparison, Spread, Target, interleaved, median
from benchmarks.inbound import best, by_senders, product_round, server_round
from benchmarks.product import open_product
from benchmarks.programs import listening
from tests.kafka.cluster import free_ports

TITLE = "Webhooks applied: zenskar | stripe-sync-engine on Node"
EVENTS = 20_000
SENDERS = (32, 128)
POOLS = (10, 32)


async def run(bench: Bench) -> Comparison:
    """Measure with few senders and with many, and pools of 10 and 32 of theirs.

    The best rate of each side counts: servers need different numbers of senders to be busy.
    """
    count, postgres, folder = bench.count(EVENTS), await bench.postgres(), peers.node()
    server = {"postgres": [postgres.process.pid]}
    async with AsyncExitStack() as stack:
        database = await postgres.new_database()
        product = await stack.enter_async_context(open_product(bench.folder, database))
        turns = {"ours": product_round(bench, product, server, count)}
        for pool in POOLS:
            (port,), database = free_ports(1), await postgres.new_database()
            command = [
                "node",
                str(folder / "server.cjs"),
                str(port),
                database,
                str(pool),
                events.SECRET,
            ]
            node = await stack.enter_async_context(
                listening(f"node-{pool}", bench.folder, port, command)
            )
            parts = {"server": [node.pid], **server}
            turns[f"theirs_pool_{pool}"] = server_round(bench, port, parts, count, "/webhooks")
        found = await interleaved(
            bench.rounds,
            {
                side: measure
                for name, turn in turns.items()
                for side, measure in by_senders(name, turn, SENDERS).items()
            },
        )
    ours, theirs = best(found, "ours"), best(found, "theirs")
    ratio = median(found[ours], "rate") / median(found[theirs], "rate")
    cpu = _own(found[ours]) / _own(found[theirs])
    return Comparison(
        ratio,
        found[ours],
        found[theirs],
        (
            Target("rate against the best of theirs", 1.2, round(ratio, 3)),
            Target("CPU per event against theirs", 0.85, round(cpu, 3), at_most=True),
        ),
        found,
        f"{ours} against {theirs}; CPU without the driver's",
    )


def _own(side: Spread) -> float:
    return median(side, "cpu_us.total") - median(side, "cpu_us.driver")
