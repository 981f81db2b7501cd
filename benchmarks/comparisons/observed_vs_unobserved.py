"""CPU of the hot path with its metrics scraped and its spans exported, and without.

The collector only reads what it is sent. A scrape each second is fifteen times the usual.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

from benchmarks.bench import Bench, Comparison, Measurement, Spread, interleaved, median
from benchmarks.hot_path import PARTS, HotPath, open_hot_path
from benchmarks.programs import stub_stripe

TITLE = "Observed and unobserved: CPU of the hot path with metrics scraped and spans exported"
_SCRAPE_SECONDS = 1.0


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
    theirs = found["unobserved"]
    ratios = {
        name: {part: _ratio(side, theirs, part) for part in PARTS}
        for name, side in found.items()
        if side is not theirs
    }
    times = "; ".join(
        f"{name} " + ", ".join(f"{part} {ratio:.2f}" for part, ratio in parts.items())
        for name, parts in ratios.items()
    )
    return Comparison(
        statistics.mean(ratios["traced"].values()),
        found["traced"],
        theirs,
        others={name: found[name] for name in ("scraped", "sampled")},
        notes=f"ours exports a span of every event; CPU against unobserved: {times}",
    )


def _ratio(side: Spread, other: Spread, part: str) -> float:
    return median(side, f"cpu_us.{part}") / median(other, f"cpu_us.{part}")


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
