"""CPU of every part of the hot path, in this checkout and in another one.

Both are measured from outside, as processes, so that the other checkout may be of any release. The
worker is stopped while the API receives, and while it is the other side's turn.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, Comparison, Measurement, Target, interleaved, median
from benchmarks.events import Series
from benchmarks.inbound import CUSTOMERS_SHARE
from benchmarks.load import saturate
from benchmarks.machine import Meter
from benchmarks.outbound import creates
from benchmarks.peers import PeerMissing
from benchmarks.product import Product, open_product
from benchmarks.programs import StubStripe, stub_stripe
from tests.kafka.processes import Process, until

TITLE = "The hot path of two checkouts: CPU of this one and of the other one"
BEFORE = True
"""Runs only when another checkout is given."""
EVENTS, SENDERS = 4000, 16
_PARTS = ("receive", "apply", "create", "push")
_MOST_TIMES, _SECONDS = 1.1, 300.0


@dataclass
class CheckoutSide:
    """The processes of a checkout, and the number of events so far."""

    bench: Bench
    product: Product
    postgres: int
    count: int
    done: int = 0

    async def turn(self, number: int) -> Measurement:
        """Measure webhooks and then pushes, each received first and worked on later."""
        self.done += self.count
        # The stub numbers its customers from 1, and a later round has other numbers.
        series = Series(self.count, self.count // CUSTOMERS_SHARE, number + 1)
        requests, sample = list(series.requests("/webhooks/stripe")), series.sample()
        worker = self.worker
        worker.pause()
        received = await self._measured("receive", self._send(requests, 200))
        worker.resume()
        applied = await self._measured("apply", self._settle("inbound", sample))
        worker.pause()
        created = await self._measured("create", self._send(creates(number, self.count), 201))
        worker.resume()
        pushed = await self._measured("push", self._settle("outbound"))
        worker.pause()
        return {**received, **applied, **created, **pushed}

    @property
    def worker(self) -> Process:
        """The only worker."""
        (worker,) = self.product.workers
        return worker

    async def _send(self, requests: Iterable[bytes], status: int) -> None:
        sent = await saturate(self.product.port, requests, SENDERS)
        assert sent.statuses == {status: self.count}, sent.statuses

    async def _settle(self, direction: str, sample: Iterable[str] = ()) -> None:
        last = list(sample)
        await until(
            lambda: self.product.settled(direction, self.done, last), _SECONDS, "the last event"
        )

    async def _measured(self, part: str, work: Awaitable[None]) -> Measurement:
        """Return the CPU of zenskar's processes and of PostgreSQL, in microseconds an event."""
        driver = {"driver": [os.getpid()]}
        meter = Meter({**self.product.pids(), "postgres": [self.postgres], **driver})
        await work
        cost = meter.stop()
        self.bench.note(cost)
        used = {name: cpu / self.count * 1e6 for name, cpu in cost.cpu.items()}
        python = used["api"] + used["worker"]
        return {
            f"cpu_us.{part}": round(python + used["postgres"], 1),
            f"cpu_us.{part}_python": round(python, 1),
            f"cpu_us.{part}_postgres": round(used["postgres"], 1),
        }


async def run(bench: Bench) -> Comparison:
    """Measure both checkouts in turn. Raises `PeerMissing` without another one."""
    if bench.before is None:
        raise PeerMissing("no other checkout is given: make bench ONLY=hot_path BEFORE=/a/checkout")
    async with (
        stub_stripe(bench.folder) as stub,
        _side(bench, stub, bench.before) as before,
        _side(bench, stub) as now,
    ):
        found = await interleaved(bench.rounds, {"now": now.turn, "before": before.turn})
    ours, theirs = found["now"], found["before"]
    ratios = {
        part: median(ours, f"cpu_us.{part}") / median(theirs, f"cpu_us.{part}") for part in _PARTS
    }
    whole = [sum(median(side, f"cpu_us.{part}") for part in _PARTS) for side in (ours, theirs)]
    return Comparison(
        whole[0] / whole[1],
        ours,
        theirs,
        tuple(
            Target(f"CPU to {part}, against before", _MOST_TIMES, round(ratio, 3), at_most=True)
            for part, ratio in ratios.items()
        ),
        notes=f"ours is this checkout, theirs is {bench.before}",
    )


@asynccontextmanager
async def _side(
    bench: Bench, stub: StubStripe, checkout: Path | None = None
) -> AsyncIterator[CheckoutSide]:
    """Run the processes of a checkout on a database of its own."""
    postgres = await bench.postgres()
    async with open_product(
        bench.folder,
        await postgres.new_database(),
        checkout=checkout,
        STRIPE_API_BASE=stub.url,
        STRIPE_RATE_LIMIT="0",
    ) as product:
        side = CheckoutSide(bench, product, postgres.process.pid, bench.count(EVENTS))
        side.worker.pause()
        yield side
