"""Resident memory of API and worker, fresh and after many events."""

from benchmarks.bench import Bench, Comparison, Target
from benchmarks.events import Series
from benchmarks.inbound import SENDERS
from benchmarks.load import saturate
from benchmarks.machine import memory
from benchmarks.product import open_product
from tests.kafka.processes import until

TITLE = "Memory of API and worker"
EVENTS, WARM_SHARE = 100_000, 0.1
SHORT_SHARE = 0.1
"""The share of events in a short run, which says so."""


async def run(bench: Bench) -> Comparison:
    """Measure once; growth counts from a tenth of the events on."""
    postgres = await bench.postgres()
    events = EVENTS if bench.long else int(EVENTS * SHORT_SHARE)
    warm = int(events * WARM_SHARE)
    async with open_product(bench.folder, await postgres.new_database()) as product:
        assert product.api is not None
        pids = {"api": product.api.pid, "worker": product.workers[0].pid}
        fresh = {part: memory(pid) for part, pid in pids.items()}
        await saturate(
            product.port, Series(warm, warm // 5, 0).requests("/webhooks/stripe"), SENDERS
        )
        await until(lambda: product.settled("inbound", warm), 300, "the last event")
        before = {part: memory(pid) for part, pid in pids.items()}
        rest = events - warm
        requests = Series(rest, rest // 5, 1).requests("/webhooks/stripe")
        await saturate(product.port, requests, SENDERS)
        await until(lambda: product.settled("inbound", events), 300, "the last event")
        after = {part: memory(pid) for part, pid in pids.items()}
    growth = {part: after[part] / before[part] - 1 for part in pids}
    ours = {
        f"{part}_mb": {
            "fresh": round(fresh[part], 1),
            "warm": round(before[part], 1),
            "after": round(after[part], 1),
        }
        for part in pids
    }
    return Comparison(
        None,
        ours,
        targets=(
            Target("API in MB", 128, round(after["api"], 1), at_most=True),
            Target("worker in MB", 128, round(after["worker"], 1), at_most=True),
            Target("growth of the API", 0.1, round(growth["api"], 3), at_most=True),
            Target("growth of the worker", 0.1, round(growth["worker"], 3), at_most=True),
        ),
        notes=f"{events} events",
    )
