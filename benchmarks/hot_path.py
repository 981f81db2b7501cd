"""CPU of every part of the hot path of an installation, measured from outside.

The worker is stopped while the API receives, and while it is another installation's turn.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, Measurement
from benchmarks.events import Series
from benchmarks.inbound import CUSTOMERS_SHARE
from benchmarks.load import saturate
from benchmarks.machine import Meter
from benchmarks.outbound import creates
from benchmarks.product import Product, open_product
from benchmarks.programs import StubStripe
from tests.kafka.processes import Process, until

PARTS = ("receive", "apply", "create", "push")
EVENTS, SENDERS = 4000, 16
_SECONDS = 300.0


@dataclass
class HotPath:
    """The processes of an installation whose hot path is measured, and the events so far."""

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


@asynccontextmanager
async def open_hot_path(
    bench: Bench, stub: StubStripe, checkout: Path | None = None, **settings: str
) -> AsyncIterator[HotPath]:
    """Run the processes of a checkout, this one by default, on a database of its own."""
    postgres = await bench.postgres()
    async with open_product(
        bench.folder,
        await postgres.new_database(),
        checkout=checkout,
        STRIPE_API_BASE=stub.url,
        STRIPE_RATE_LIMIT="0",
        **settings,
    ) as product:
        side = HotPath(bench, product, postgres.process.pid, bench.count(EVENTS))
        side.worker.pause()
        yield side
