"""From a signed webhook to applied rows, beside @supabase/stripe-sync-engine behind Node."""

from contextlib import AsyncExitStack

from benchmarks import events, peers
from benchmarks.bench import Bench, Comparison, Target, interleaved, median
from benchmarks.inbound import product_round, server_round
from benchmarks.product import open_product
from benchmarks.programs import listening
from tests.kafka.cluster import free_ports

TITLE = "Webhooks applied: zenskar | stripe-sync-engine on Node"
EVENTS = 40_000


async def run(bench: Bench) -> Comparison:
    """Measure pools of 10 and 32 of theirs; the better one counts."""
    count, postgres, folder = bench.count(EVENTS), await bench.postgres(), peers.node()
    server = {"postgres": [postgres.process.pid]}
    async with AsyncExitStack() as stack:
        database = await postgres.new_database()
        product = await stack.enter_async_context(open_product(bench.folder, database))
        sides = {"ours": product_round(bench, product, server, count)}
        for pool in ("10", "32"):
            (port,), database = free_ports(1), await postgres.new_database()
            command = ["node", str(folder / "server.cjs"), str(port), database, pool, events.SECRET]
            node = await stack.enter_async_context(
                listening(f"node-{pool}", bench.folder, port, command)
            )
            parts = {"server": [node.pid], **server}
            sides[f"theirs_pool_{pool}"] = server_round(bench, port, parts, count, "/webhooks")
        found = await interleaved(bench.rounds, sides)
    ours = found.pop("ours")
    best = max(found, key=lambda name: median(found[name], "rate"))
    theirs = found[best]
    ratio = median(ours, "rate") / median(theirs, "rate")
    cpu = (_own(ours)) / (_own(theirs))
    return Comparison(
        ratio,
        ours,
        theirs,
        (
            Target("rate against the best of theirs", 1.2, round(ratio, 3)),
            Target("CPU per event against theirs", 0.85, round(cpu, 3), at_most=True),
        ),
        found,
        f"best of theirs: {best}; CPU without the driver's",
    )


def _own(side: dict[str, dict[str, float]]) -> float:
    return median(side, "cpu_us.total") - median(side, "cpu_us.driver")
