"""Rounds of signed webhooks against zenskar, from the first sent to the last applied."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from benchmarks.bench import Bench, Measurement, Spread, figures, median
from benchmarks.events import Series
from benchmarks.load import saturate
from benchmarks.machine import Meter
from benchmarks.product import Product
from tests.kafka.processes import until

SENDERS = 32
CUSTOMERS_SHARE = 5
_SECONDS = 300.0

Side = Callable[[int], Awaitable[Measurement]]


class Turn(Protocol):
    """A round with this number and its own events."""

    def __call__(self, number: int, senders: int = SENDERS) -> Awaitable[Measurement]:
        """Measure."""


def by_senders(name: str, turn: Turn, crowds: Sequence[int]) -> dict[str, Side]:
    """Return a turn with each of these numbers of senders, as sides of one name."""
    return {
        with_senders(name, senders): _with(turn, senders, index, len(crowds))
        for index, senders in enumerate(crowds)
    }


def with_senders(name: str, senders: int) -> str:
    """Return the name of a side with this number of senders."""
    return f"{name}_senders_{senders}"


def _with(turn: Turn, senders: int, index: int, crowds: int) -> Side:
    return lambda number: turn(number * crowds + index, senders)


def best(found: Mapping[str, Spread], name: str) -> str:
    """Return the side of this name with the highest rate.

    Servers need different numbers of senders to be busy.
    """
    names = [side for side in found if side.startswith(name)]
    return max(names, key=lambda side: median(found[side], "rate"))


def product_round(
    bench: Bench, product: Product, parts: Mapping[str, Sequence[int]], count: int
) -> Turn:
    """Return the turn of zenskar: webhooks sent at saturation, all of them applied."""
    done = 0

    async def turn(number: int, senders: int = SENDERS) -> Measurement:
        nonlocal done
        series = Series(count, count // CUSTOMERS_SHARE, number)
        requests, sample = list(series.requests("/webhooks/stripe")), series.sample()
        meter = Meter({"driver": [os.getpid()], **product.pids(), **parts})
        began = time.perf_counter()
        sent = await saturate(product.port, requests, senders)
        done += count
        await until(lambda: product.settled("inbound", done, sample), _SECONDS, "the last event")
        seconds = time.perf_counter() - began
        cost = meter.stop()
        bench.note(cost)
        assert sent.statuses == {200: count}, sent.statuses
        return figures(count, seconds, cost) | {"ack_rate": round(sent.rate, 1)}

    return turn


def server_round(
    bench: Bench, port: int, parts: Mapping[str, Sequence[int]], count: int, path: str
) -> Turn:
    """Return the turn of a server that has applied an event when it answers."""

    async def turn(number: int, senders: int = SENDERS) -> Measurement:
        requests = list(Series(count, count // CUSTOMERS_SHARE, number).requests(path))
        meter = Meter({"driver": [os.getpid()], **parts})
        sent = await saturate(port, requests, senders)
        cost = meter.stop()
        bench.note(cost)
        assert sent.statuses == {200: count}, sent.statuses
        return figures(count, sent.seconds, cost) | {
            "p50_ms": round(sent.quantile(0.5), 2),
            "p99_ms": round(sent.quantile(0.99), 2),
        }

    return turn
