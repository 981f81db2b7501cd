"""From the moment a POST /customers is due to its push, at 100 a second."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from benchmarks.bench import Bench, Comparison, Measurement, Target, interleaved, median
from benchmarks.load import pace, quantile
from benchmarks.machine import Meter
from benchmarks.outbound import creates, name
from benchmarks.product import Product, open_product
from benchmarks.programs import StubStripe, stub_stripe
from tests.kafka.processes import until

TITLE = "Latency from POST to push at 100/s: instant stub | stub that takes 100 ms"
EVENTS, RATE, SENDERS, DELAY = 500, 100.0, 32, 0.1


async def run(bench: Bench) -> Comparison:
    """Measure against both stubs. With the slow one, the push counts once it is answered."""
    postgres, count = await bench.postgres(), bench.count(EVENTS)
    parts = {"postgres": [postgres.process.pid], "driver": [os.getpid()]}
    async with (
        stub_stripe(bench.folder) as instant,
        stub_stripe(bench.folder, delay=DELAY) as slow,
        open_product(
            bench.folder, await postgres.new_database(), **_settings(instant)
        ) as fast_product,
        open_product(bench.folder, await postgres.new_database(), **_settings(slow)) as product,
    ):
        found = await interleaved(
            bench.rounds,
            {
                "instant": _turn(bench, fast_product, instant, parts, count),
                "slow": _turn(bench, product, slow, parts, count, DELAY),
            },
        )
    instant_found, slow_found = found["instant"], found["slow"]
    return Comparison(
        None,
        instant_found,
        others={"slow": slow_found},
        targets=(
            Target("p50 in ms, instant", 15, median(instant_found, "p50_ms"), at_most=True),
            Target("p99 in ms, instant", 30, median(instant_found, "p99_ms"), at_most=True),
            Target("p50 in ms, 100 ms", 125, median(slow_found, "p50_ms"), at_most=True),
            Target("p99 in ms, 100 ms", 160, median(slow_found, "p99_ms"), at_most=True),
        ),
    )


def _settings(stub: StubStripe) -> dict[str, str]:
    return {"STRIPE_API_BASE": stub.url, "STRIPE_RATE_LIMIT": "0"}


def _turn(
    bench: Bench,
    product: Product,
    stub: StubStripe,
    parts: Mapping[str, Sequence[int]],
    count: int,
    answered_after: float = 0.0,
) -> Callable[[int], Awaitable[Measurement]]:
    done = 0

    async def turn(number: int) -> Measurement:
        nonlocal done
        stub.forget()
        meter = Meter({**product.pids(), **parts, "stub": [stub.process.pid]})
        offset, due = time.time() - time.perf_counter(), list[float]()
        await pace(product.port, creates(number, count), SENDERS, RATE, due)
        done += count
        await until(lambda: product.settled("outbound", done), 60, "the last push")
        bench.note(meter.stop())
        seen = stub.seen()
        waited = [
            seen[name(number, n)] - (moment + offset) + answered_after
            for n, moment in enumerate(due)
        ]
        return {
            "p50_ms": round(quantile(waited, 0.5) * 1000, 2),
            "p99_ms": round(quantile(waited, 0.99) * 1000, 2),
        }

    return turn
