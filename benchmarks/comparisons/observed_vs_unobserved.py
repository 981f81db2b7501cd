"""CPU of the hot path with its metrics scraped and its spans exported, and without.

The collector only reads what it is sent. A scrape each second is fifteen times the usual.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

from benchmarks.bench import Bench, Comparison, Measurement, Target, interleaved, median
from benchmarks.hot_path import PARTS, HotPath, open_hot_path
from benchmarks.programs import stub_stripe

TITLE = "Observed and unobserved: CPU of the hot path with metrics scraped and spans exported"
_SCRAPE_SECONDS = 1.0
_MOST_TIMES = {"scraped": 1.05, "sampled": 1.1}
"""Bounds for a scrape each second, and for one trace of a hundred."""


async def run(bench: Bench) -> Comparison:
    """Measure an installation that nobody observes, and three that are observed, in turn."""
    async with (
        stub_stripe(bench.folder) as stub,
        _collector() as collector,
        open_hot_path(bench, stub) as unobserved,
        open_hot_path(bench, stub) as scraped,
        open_hot_path(bench, stub, **_sampling(collector, "0.01")) as sampled,
        open_hot_path(bench, stub, **_sampling(collector, "1")) as traced,
    ):
        found = await interleaved(
            bench.rounds,
            {
                "unobserved": unobserved.turn,
                "scraped": _scraped(scraped),
                "sampled": sampled.turn,
                "traced": traced.turn,
            },
        )
    whole = {
        name: sum(median(side, f"cpu_us.{part}") for part in PARTS) for name, side in found.items()
    }
    times = {name: whole[name] / whole["unobserved"] for name in found}
    return Comparison(
        times["traced"],
        found["traced"],
        found["unobserved"],
        tuple(
            Target(f"CPU {name}, against unobserved", most, round(times[name], 3), at_most=True)
            for name, most in _MOST_TIMES.items()
        ),
        {name: found[name] for name in _MOST_TIMES},
        notes="ours exports a span of every event, theirs is unobserved",
    )


def _sampling(collector: str, share: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": share,
    }


def _scraped(side: HotPath) -> Callable[[int], Awaitable[Measurement]]:
    """Return the turn of a side whose API is scraped meanwhile."""

    async def turn(number: int) -> Measurement:
        scraping = asyncio.create_task(_scrape(side.product.port))
        try:
            return await side.turn(number)
        finally:
            scraping.cancel()
            await asyncio.wait([scraping])

    return turn


async def _scrape(port: int) -> None:
    async with ClientSession() as client:
        while True:
            async with client.get(f"http://127.0.0.1:{port}/metrics") as response:
                response.raise_for_status()
                await response.read()
            await asyncio.sleep(_SCRAPE_SECONDS)


@asynccontextmanager
async def _collector() -> AsyncIterator[str]:
    """Run a collector of spans; yield its address."""

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(content_type="application/x-protobuf")

    application = web.Application(client_max_size=2**26)
    application.router.add_post("/v1/traces", accept)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
