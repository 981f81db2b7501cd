"""Pushes, feed rows and calls of the Salesforce integration and of Stripe's, at their sandboxes.

Both sandboxes run in the process of the driver, and cost what they cost. Rows of Salesforce are
polled, so their rate includes the wait for the next poll. Stripe sends webhooks, which wait for the
worker when the measurement begins.
"""

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from benchmarks import events
from benchmarks.bench import Bench, Comparison, Measurement, Target, interleaved, median
from benchmarks.load import saturate
from benchmarks.machine import Meter
from benchmarks.outbound import creates
from benchmarks.product import Product, open_product
from tests.kafka.processes import until
from zenskar.http.lookalike import LookAlike
from zenskar_salesforce.sandbox import SalesforceSandbox, settings_of
from zenskar_stripe.sandbox import StripeSandbox

TITLE = "Salesforce beside Stripe: pushes and feed rows a second, calls for each"
RECORDS, SENDERS = 1000, 16
_POLL_SECONDS = "0.5"
_SECONDS = 300.0
_MANY_CALLS = 10**9


_LINKED = "SELECT count(*) >= $1 FROM external_mappings WHERE state = 'active'"


@dataclass
class Side:
    """A system with its own installation of zenskar. `add` creates a record there as a person."""

    system: LookAlike
    product: Product
    database: asyncpg.Connection
    add: Callable[[str], object]
    parts: Mapping[str, Sequence[int]]
    linked: int = 0

    async def turn(self, bench: Bench, number: int, count: int) -> Measurement:
        """Measure the pushes of new records, and then the feed of records that are new there."""
        pushes = await self._pushed(bench, number, count)
        return pushes | await self._fed(bench, number, count)

    async def _pushed(self, bench: Bench, number: int, count: int) -> Measurement:
        (worker,) = self.product.workers
        worker.pause()
        await saturate(self.product.port, creates(number, count), SENDERS)
        seconds, calls = await self._worked(bench, count)
        writes = sum(method != "GET" for method in calls)
        return {"pushes": round(count / seconds, 1), "calls_per_push": writes / count}

    async def _fed(self, bench: Bench, number: int, count: int) -> Measurement:
        (worker,) = self.product.workers
        worker.pause()
        for each in range(count):
            self.add(f"Person {number:03d} {each:07d}")
        await self.system.settle(_SECONDS)
        seconds, calls = await self._worked(bench, count)
        return {"rows": round(count / seconds, 1), "calls_per_row": len(calls) / count}

    async def _worked(self, bench: Bench, count: int) -> tuple[float, list[str]]:
        """Resume the worker until all records are linked; return the seconds and the calls."""
        (worker,) = self.product.workers
        self.linked += count
        self.system.requests.clear()
        meter = Meter({**self.product.pids(), **self.parts})
        began = time.perf_counter()
        worker.resume()
        await until(self._all_linked, _SECONDS, "the last record")
        seconds = time.perf_counter() - began
        bench.note(meter.stop())
        return seconds, [call.method for call in self.system.requests]

    async def _all_linked(self) -> bool:
        return bool(await self.database.fetchval(_LINKED, self.linked))


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
    async with SalesforceSandbox() as org:
        org.allowance.limit = _MANY_CALLS
        settings = {f"SALESFORCE_{name.upper()}": text for name, text in settings_of(org).items()}
        settings |= {
            "ZENSKAR_CONNECTIONS": "salesforce=salesforce",
            "SALESFORCE_POLL_SECONDS": _POLL_SECONDS,
            "SALESFORCE_DAILY_CALLS": str(_MANY_CALLS),
        }
        async with _side(bench, org, lambda name: org.add(LastName=name), settings) as side:
            yield side


@asynccontextmanager
async def _stripe(bench: Bench) -> AsyncIterator[Side]:
    async with StripeSandbox(api_key=events.API_KEY) as stripe:
        settings = {
            "STRIPE_API_BASE": stripe.base_url,
            "STRIPE_RATE_LIMIT": "0",
            "STRIPE_POLL_SECONDS": _POLL_SECONDS,
        }

        def add(name: str) -> object:
            return stripe.dashboard.create({"name": name})

        async with _side(bench, stripe, add, settings) as side:
            url = f"http://localhost:{side.product.port}/webhooks/stripe"
            stripe.add_webhook_endpoint(url, events.SECRET)
            yield side


@asynccontextmanager
async def _side(
    bench: Bench, system: LookAlike, add: Callable[[str], object], settings: Mapping[str, str]
) -> AsyncIterator[Side]:
    """Run an installation that is connected with a system."""
    postgres = await bench.postgres()
    database = await postgres.new_database()
    parts = {"driver": [os.getpid()], "postgres": [postgres.process.pid]}
    async with open_product(bench.folder, database, **settings) as product:
        connection = await asyncpg.connect(database)
        try:
            yield Side(system, product, connection, add, parts)
        finally:
            await connection.close()
