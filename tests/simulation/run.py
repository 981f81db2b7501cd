"""Run one seed, and make its story as short as it can be when it fails.

python -m tests.simulation.run --seeds 5000 [--first 0] [--jobs 4]
python -m tests.simulation.run --seed 42
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass

from tests.simulation.invariants import breaches
from tests.simulation.story import Act, Memory, draw, perform
from tests.simulation.world import open_world
from tests.support import postgres
from zenskar.telemetry import logs

SETTLE_SECONDS = 30.0
_POLICIES = ("internal_wins", "external_wins", "latest_wins")


@dataclass(frozen=True)
class Failure:
    """A seed that broke something, with the shortest story that still does."""

    seed: int
    story: tuple[Act, ...]
    breaches: tuple[str, ...]

    def __str__(self) -> str:
        story = "\n".join(f"  {act}" for act in self.story)
        wrong = "\n".join(f"  {line}" for line in self.breaches)
        again = f"python -m tests.simulation.run --seed {self.seed}"
        return f"seed {self.seed}\n{story}\nbreaks\n{wrong}\nagain: {again}"


async def tell(server: str, seed: int, story: list[Act]) -> list[str]:
    """Act a story out in a fresh world and return what is wrong at its end."""
    dice = random.Random(seed)
    settings = {
        "conflict_policy": dice.choice(_POLICIES),
        "propagate_deletes": dice.choice([True, False]),
    }
    memory = Memory()
    async with (
        postgres.fresh_database(server) as url,
        open_world(url, seed, **settings) as world,
    ):
        for act in story:
            await perform(world, act, memory)
        try:
            await world.settle(SETTLE_SECONDS)
        except TimeoutError:
            return await world.unfinished()
        return await breaches(world, memory)


async def run_seed(server: str, seed: int, *, shorten: bool = True) -> Failure | None:
    """Run one seed; None when all is well."""
    story = draw(seed)
    wrong = await tell(server, seed, story)
    if not wrong:
        return None
    if shorten:
        story, wrong = await _shortest(server, seed, story, wrong)
    return Failure(seed, tuple(story), tuple(wrong))


async def _shortest(
    server: str, seed: int, story: list[Act], wrong: list[str]
) -> tuple[list[Act], list[str]]:
    """Leave acts out one by one, as long as something still breaks."""
    for number in reversed(range(len(story))):
        shorter = story[:number] + story[number + 1 :]
        still_wrong = await tell(server, seed, shorter)
        if still_wrong:
            story, wrong = shorter, still_wrong
    return story, wrong


async def run_seeds(server: str, seeds: list[int], jobs: int, *, shorten: bool) -> list[Failure]:
    """Run seeds, some at once; most of the time of each is waiting."""
    waiting, failures = iter(seeds), list[Failure]()

    async def work() -> None:
        for seed in waiting:
            failure = await run_seed(server, seed, shorten=shorten)
            if failure is not None:
                failures.append(failure)
                print(failure, flush=True)

    await asyncio.gather(*(work() for _ in range(jobs)))
    return failures


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one seed")
    parser.add_argument("--seeds", type=int, default=200, help="run so many")
    parser.add_argument("--first", type=int, default=0, help="start with this seed")
    parser.add_argument("--jobs", type=int, default=6, help="so many at once")
    parser.add_argument("--no-shorten", action="store_true", help="show a failing story whole")
    options = parser.parse_args()
    logs.configure("error", "json")
    seeds = (
        [options.seed]
        if options.seed is not None
        else list(range(options.first, options.first + options.seeds))
    )
    postgres.prepare_session()
    try:
        server = postgres.server_url()
        failures = asyncio.run(
            run_seeds(server, seeds, options.jobs, shorten=not options.no_shorten)
        )
    finally:
        postgres.finish_session()
    kinds = Counter(act.kind for seed in seeds for act in draw(seed))
    print(f"{len(seeds)} seeds, {sum(kinds.values())} acts {dict(kinds)}, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
