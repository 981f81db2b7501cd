"""Pushes, feed rows and calls of the Salesforce integration and of Stripe's, at their sandboxes.

Both sandboxes run in the process of the driver, and cost what they cost. The rate of rows includes
the wait for the next poll.
"""

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks import events
from benchmarks.bench import Bench, Comparison, Measurement, Target, interleaved, median
from benchmarks.load import saturate
from benchmarks.machine import Meter
from benchmarks.outbound import creates
from benchmarks.product import Product, open_product
from benchmarks.servers import Postgres
from tests.kafka.processes import until
from zenskar.http.lookalike import LookAlike
from zenskar_salesforce.sandbox import SalesforceSandbox, settings_of
from zenskar_stripe.sandbox import StripeSandbox

TITLE = "Salesforce beside Stripe: pushes and feed rows a second, calls for each"
RECORDS, SENDERS = 1000, 16
_POLL_SECONDS = "0.5"
_SECONDS = 300.0
_MANY_CALLS = 10**9


@dataclass
class Side:
    """A system with its own installation of zenskar. `add` creates a record there as a person."""

    system: LookAlike
    product: Product
    add: Callable[[str], object]
    parts: Mapping[str, Sequence[int]]
    sent: int = 0
    received: int = 0

    async def turn(self, bench: Bench, number: int, count: int) -> Measurement:
        """Measure the pushes of new records, and then the feed of records that are new there."""
        pushes = await self._pushed(bench, number, count)
        return pushes | await self._fed(bench, number, count)

    async def _pushed(self, bench: Bench, number: int, count: int) -> Measurement:
        (worker,) = self.product.workers
        worker.pause()
        await saturate(self.product.port, creates(number, count), SENDERS)
        self.sent += count
        seconds, calls = await self._worked(bench, "outbound", self.sent)
        # The feed shows the own writes again.
        self.received += count
        await self._until("inbound", self.received)
        writes = sum(method != "GET" for method in calls)
        return {"pushes": round(count / seconds, 1), "calls_per_push": writes / count}

    async def _fed(self, bench: Bench, number: int, count: int) -> Measurement:
        (worker,) = self.product.workers
        worker.pause()
        for each in range(count):
            self.add(f"Person {number:03d} {each:07d}")
        self.received += count
        seconds, calls = await self._worked(bench, "inbound", self.received)
        return {"rows": round(count / seconds, 1), "calls_per_row": len(calls) / count}

    async def _worked(self, bench: Bench, direction: str, done: int) -> tuple[float, list[str]]:
        """Resume the worker; return the seconds and the methods of the calls until its end."""
        (worker,) = self.product.workers
        self.system.requests.clear()
        meter = Meter({**self.product.pids(), **self.parts})
        began = time.perf_counter()
        worker.resume()
        await self._until(direction, done)
        seconds = time.perf_counter() - began
        bench.note(meter.stop())
        return seconds, [call.method for call in self.system.requests]

    async def _until(self, direction: str, done: int) -> None:
        settled = self.product.settled
        await until(lambda: settled(direction, done), _SECONDS, f"the last {direction} event")


async def run(bench: Bench) -> Comparison:
    """Measure both systems in turn."""
    count = bench.count(RECORDS)
    async with _salesforce(bench) as ours, _stripe(bench) as theirs:
        found = await interleaved(
            bench.rounds,
            {
                "salesforce": lambda number: ours.turn(bench, number, count),
                "stripe": lambda number: theirs.turn(bench, number, count),
            },
        )
    salesforce, stripe = found["salesforce"], found["stripe"]
    return Comparison(
        median(salesforce, "pushes") / median(stripe, "pushes"),
        salesforce,
        stripe,
        (Target("calls for each push", 1.0, salesforce["calls_per_push"]["max"], at_most=True),),
        notes="ours is Salesforce, theirs is Stripe, both through zenskar at their sandboxes",
    )


@asynccontextmanager
async def _salesforce(bench: Bench) -> AsyncIterator[Side]:
    postgres = await bench.postgres()
    database = await postgres.new_database()
    async with SalesforceSandbox() as org:
        org.allowance.limit = _MANY_CALLS
        settings = {f"SALESFORCE_{name.upper()}": text for name, text in settings_of(org).items()}
        settings |= {
            "ZENSKAR_CONNECTIONS": "salesforce=salesforce",
            "SALESFORCE_POLL_SECONDS": _POLL_SECONDS,
            "SALESFORCE_DAILY_CALLS": str(_MANY_CALLS),
        }
        async with open_product(bench.folder, database, **settings) as product:
            yield Side(org, product, lambda name: org.add(LastName=name), _parts(postgres))


@asynccontextmanager
async def _stripe(bench: Bench) -> AsyncIterator[Side]:
    postgres = await bench.postgres()
    database = await postgres.new_database()
    async with StripeSandbox(api_key=events.API_KEY) as stripe:
        settings = {
            "STRIPE_API_BASE": stripe.base_url,
            "STRIPE_RATE_LIMIT": "0",
            "STRIPE_POLL_SECONDS": _POLL_SECONDS,
        }
        async with open_product(bench.folder, database, **settings) as product:

            def add(name: str) -> object:
                return stripe.dashboard.create({"name": name})

            yield Side(stripe, product, add, _parts(postgres))


def _parts(postgres: Postgres) -> Mapping[str, Sequence[int]]:
    """Return the other processes whose use is no disturbance."""
    return {"driver": [os.getpid()], "postgres": [postgres.process.pid]}
