"""The first webhooks of a new database, beside later webhooks."""

from benchmarks.bench import Bench, Comparison, Measurement, Target, interleaved, median
from benchmarks.inbound import product_round
from benchmarks.product import open_product

TITLE = "Webhooks applied: database just created | the same, warm"
EVENTS = 4000


async def run(bench: Bench) -> Comparison:
    """Measure every round on a separate database; the warm turn follows the fresh turn."""
    count, postgres = bench.count(EVENTS), await bench.postgres()
    server = {"postgres": [postgres.process.pid]}
    warm: list[Measurement] = []

    async def fresh(number: int) -> Measurement:
        database = await postgres.new_database()
        async with open_product(bench.folder, database) as product:
            turn = product_round(bench, product, server, count)
            first = await turn(2 * number)
            warm.append(await turn(2 * number + 1))
        return first

    async def then(number: int) -> Measurement:
        return warm[number]

    sides = {"fresh": fresh, "warm": then}
    found = await interleaved(bench.rounds, sides, same_order=True)
    ratio = median(found["fresh"], "rate") / median(found["warm"], "rate")
    target = Target("rate of a fresh database against a warm one", 0.7, round(ratio, 3))
    return Comparison(ratio, found["fresh"], found["warm"], (target,))
