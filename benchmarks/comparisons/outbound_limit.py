"""The used share of a configured limit, against a stub that refuses further calls."""

from benchmarks.bench import Bench, Comparison, Measurement, Target, interleaved, median
from benchmarks.load import saturate
from benchmarks.outbound import creates
from benchmarks.product import open_product
from benchmarks.programs import stub_stripe
from tests.kafka.processes import until

TITLE = "Share of a configured limit of 80 calls a second"
LIMIT, SECONDS = 80, 5


async def run(bench: Bench) -> Comparison:
    """Measure the rate at which a full queue is pushed."""
    postgres, count = await bench.postgres(), LIMIT * SECONDS
    done = 0
    async with (
        stub_stripe(bench.folder, limit=LIMIT) as stub,
        open_product(
            bench.folder,
            await postgres.new_database(),
            STRIPE_API_BASE=stub.url,
            STRIPE_RATE_LIMIT=str(LIMIT),
        ) as product,
    ):

        async def turn(number: int) -> Measurement:
            nonlocal done
            stub.forget()
            (worker,) = product.workers
            worker.pause()
            await saturate(product.port, creates(number, count), 16)
            done += count
            worker.resume()
            await until(lambda: product.settled("outbound", done), 60, "the last push")
            moments = sorted(stub.seen().values())
            seconds = moments[-1] - moments[0]
            return {"share": (len(moments) - 1) / seconds / LIMIT, "refused": stub.refused()}

        ours = (await interleaved(bench.rounds, {"ours": turn}))["ours"]
    return Comparison(
        median(ours, "share"),
        ours,
        targets=(
            Target("share of the limit", 0.95, median(ours, "share")),
            Target("calls refused", 0, ours["refused"]["max"], at_most=True),
        ),
    )
