"""A full queue of webhooks, processed by one worker and by two."""

import time
from collections.abc import Awaitable, Callable

from benchmarks.bench import Bench, Comparison, Measurement, Target, figures, interleaved, median
from benchmarks.events import Series
from benchmarks.inbound import SENDERS
from benchmarks.load import saturate
from benchmarks.machine import Meter
from benchmarks.product import Product, open_product
from tests.kafka.processes import until

TITLE = "Queue worked off: two workers | one worker"
EVENTS = 24_000


async def run(bench: Bench) -> Comparison:
    """Measure on the bus of PostgreSQL, each installation with a separate database."""
    postgres = await bench.postgres()
    count, server = bench.count(EVENTS), [postgres.process.pid]
    async with (
        open_product(bench.folder, await postgres.new_database(), workers=2) as two,
        open_product(bench.folder, await postgres.new_database(), workers=1) as one,
    ):
        found = await interleaved(
            bench.rounds,
            {"two": drain(bench, two, server, count), "one": drain(bench, one, server, count)},
        )
    ratio = median(found["two"], "rate") / median(found["one"], "rate")
    target = Target("rate of two against one", 1.4, round(ratio, 3))
    return Comparison(ratio, found["two"], found["one"], (target,))


def drain(
    bench: Bench, product: Product, server: list[int], count: int
) -> Callable[[int], Awaitable[Measurement]]:
    """Return a turn that fills the queue while the workers are stopped, then resumes them."""
    done = 0

    async def turn(number: int) -> Measurement:
        nonlocal done
        for worker in product.workers:
            worker.pause()
        series = Series(count, count // 5, number)
        await saturate(product.port, series.requests("/webhooks/stripe"), SENDERS)
        done += count
        meter = Meter({"worker": product.pids()["worker"], "postgres": server})
        began = time.perf_counter()
        for worker in product.workers:
            worker.resume()
        await until(
            lambda: product.settled("inbound", done, series.sample()), 300, "the last event"
        )
        seconds, cost = time.perf_counter() - began, meter.stop()
        bench.note(cost)
        return figures(count, seconds, cost)

    return turn
