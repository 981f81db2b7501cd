"""Customers pushed at saturation, beside the stripe SDK on its httpx client, 64 in flight."""

import asyncio
import time

from benchmarks.bench import Bench, Comparison, Measurement, Target, figures, interleaved, median
from benchmarks.load import saturate
from benchmarks.machine import Meter
from benchmarks.outbound import creates
from benchmarks.product import open_product
from benchmarks.programs import asked, contender, stub_stripe
from tests.kafka.processes import until

TITLE = "Pushes at saturation: zenskar, with its ledger | stripe SDK on httpx alone"
EVENTS, IN_FLIGHT = 2000, 64


async def run(bench: Bench) -> Comparison:
    """Measure from a full queue to an empty one; theirs calls in a loop and stores nothing."""
    postgres, count = await bench.postgres(), bench.count(EVENTS)
    server = [postgres.process.pid]
    done = 0
    async with (
        stub_stripe(bench.folder) as stub,
        open_product(
            bench.folder,
            await postgres.new_database(),
            STRIPE_API_BASE=stub.url,
            STRIPE_RATE_LIMIT="0",
            ZENSKAR_WORKER_CONCURRENCY=str(IN_FLIGHT),
        ) as product,
    ):

        async def ours(number: int) -> Measurement:
            nonlocal done
            (worker,) = product.workers
            worker.pause()
            await saturate(product.port, creates(number, count), 16)
            done += count
            meter = Meter({"worker": [worker.pid], "postgres": server, "stub": [stub.process.pid]})
            began = time.perf_counter()
            worker.resume()
            await until(lambda: product.settled("outbound", done), 300, "the last push")
            seconds, cost = time.perf_counter() - began, meter.stop()
            bench.note(cost)
            return figures(count, seconds, cost)

        async def theirs(number: int) -> Measurement:
            first = str(number * count)
            command = contender("stripe_sdk", stub.url, str(count), str(IN_FLIGHT), first)
            async with asked(command) as program:
                assert program.stdin is not None
                assert program.stdout is not None
                meter = Meter({"client": [program.pid], "stub": [stub.process.pid]})
                program.stdin.write("\n")
                program.stdin.flush()
                seconds = float(await asyncio.to_thread(program.stdout.readline))
                cost = meter.stop()
            bench.note(cost)
            return figures(count, seconds, cost)

        found = await interleaved(bench.rounds, {"ours": ours, "theirs": theirs})
    ratio = median(found["ours"], "rate") / median(found["theirs"], "rate")
    target = Target("rate against the SDK on httpx", 2.0, round(ratio, 3))
    return Comparison(ratio, found["ours"], found["theirs"], (target,))
