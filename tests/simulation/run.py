"""Run a seed, and shorten its story as far as it still fails.

python -m tests.simulation.run --seeds 5000 [--first 0] [--jobs 4]
python -m tests.simulation.run --seed 42 [--times 20]
python -m tests.simulation.run --mutations [--seeds 60] [--only "late events"]
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from tests.simulation import operators, people, repairs
from tests.simulation.beside import org_beside
from tests.simulation.clock import Clock
from tests.simulation.disturbances import SHIFTS
from tests.simulation.invariants import breaches
from tests.simulation.memory import Act, Memory
from tests.simulation.mutations import MUTATIONS, Mutation
from tests.simulation.partial import System, system_of
from tests.simulation.story import draw, perform
from tests.simulation.webhooks import hear
from tests.simulation.world import PATIENCE_SECONDS, World, open_world
from tests.support import postgres
from tests.support.databases import Databases
from zenskar.plugins.discovery import Plugin, discover
from zenskar.telemetry import logs
from zenskar_stripe import lookup

_REPORT_EVERY = 100
_ATTEMPTS = (100, 100, 2)
"""In one of three systems, a second fault leads to a dead letter."""
_PAGE = 2
"""The size of Stripe's pages, so that few objects fill several."""
_POLICIES = ("internal_wins", "external_wins", "latest_wins")


@dataclass(frozen=True)
class Failure:
    """A seed that broke an invariant, with its shortest failing story."""

    seed: int
    story: tuple[Act, ...]
    breaches: tuple[str, ...]
    trace: tuple[str, ...]

    def __str__(self) -> str:
        again = f"python -m tests.simulation.run --seed {self.seed} --times 20"
        parts = (("", self.story), ("breaks", self.breaches), ("after", self.trace))
        result = "\n".join(
            "\n".join((title, *(f"  {line}" for line in lines))) for title, lines in parts
        )
        return f"seed {self.seed}{result}\nagain: {again}"


@dataclass(frozen=True)
class StoryResult:
    """A story with its breaches and its log."""

    story: tuple[Act, ...]
    wrong: tuple[str, ...]
    trace: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """The servers on which stories run, and the number of acts that took effect."""

    databases: Databases
    plugins: Mapping[str, Plugin]
    patience: float = PATIENCE_SECONDS
    effects: Counter[str] = field(default_factory=Counter)

    async def run_story(self, seed: int, story: Iterable[Act]) -> StoryResult:
        """Run a story in a fresh world and return its breaches."""
        acts, system = tuple(story), system_of(seed)
        memory = Memory(full=system.full, joined=not system.full)
        plugins, clock = system.plugins(self.plugins), Clock()
        async with (
            self.databases.one_more() as url,
            org_beside(clock, present=system.beside) as org,
            open_world(
                url,
                seed,
                plugins=plugins,
                clock=clock,
                others=None if org is None else org.environment,
                **_settings(seed),
            ) as world,
        ):
            if org is not None:
                world.org, world.others = org, [org.sandbox]
            with people.refusing_equals(world.sandbox) if system.full else nullcontext():
                if system.full:
                    await operators.pause_connection(world)
                for act in acts:
                    await perform(world, act, memory)
                wrong = await self._ending(world, memory, system)
            self.effects.update(memory.effects)
            return StoryResult(acts, tuple(wrong), tuple(await world.trace()) if wrong else ())

    async def run_seed(self, seed: int, *, shorten: bool = True) -> Failure | None:
        """Run a seed; return None without a breach."""
        result = await self.run_story(seed, draw(seed))
        if not result.wrong:
            return None
        if shorten:
            result = await self._shortest(seed, result)
        return Failure(seed, result.story, result.wrong, result.trace)

    async def _shortest(self, seed: int, result: StoryResult) -> StoryResult:
        """Remove acts one by one, as long as the story still fails."""
        for number in reversed(range(len(result.story))):
            shorter = await self.run_story(seed, result.story[:number] + result.story[number + 1 :])
            if shorter.wrong:
                result = shorter
        return result

    async def _ending(self, world: World, memory: Memory, system: System) -> list[str]:
        """End pauses, losses and dead letters as an operator does; return the breaches at rest."""
        end = Act("end")
        await hear(world, end, memory)
        for worker in world.workers:
            worker.forget_interruption()
        try:
            # Nothing rests before a pause ends.
            await operators.resume(world, end, memory)
            if system.full:
                await people.join(world, memory, planned=False)
            await world.settle(self.patience)
            wrong = memory.wrong + await repairs.heal(world, memory, self.patience)
            if world.org is not None:
                await world.org.show_everything(world.runtime, self.patience)
                await world.settle(self.patience)
            if system.full:
                wrong += await people.end(world, memory, self.patience)
            else:
                await operators.retry_all(world, end, memory, self.patience)
        except TimeoutError:
            return await world.unfinished()
        return wrong + await breaches(
            world, memory, system.held, names_only=system.names_only, patience=self.patience
        )


@contextmanager
def small_pages() -> Iterator[None]:
    """Make the pages of Stripe's lists small."""
    with patch.object(lookup, "PAGE", _PAGE):
        yield


async def run_seeds(
    stage: Stage, seeds: Iterable[int], jobs: int, *, shorten: bool
) -> list[Failure]:
    """Run seeds concurrently; each waits most of the time."""
    failures = list[Failure]()
    waiting = enumerate(seeds, 1)

    async def work() -> None:
        for number, seed in waiting:
            if number % _REPORT_EVERY == 0:
                print(f"{number} begun, {len(failures)} failed", flush=True)
            failure = await stage.run_seed(seed, shorten=shorten)
            if failure is not None:
                failures.append(failure)
                print(failure, flush=True)

    with small_pages():
        await asyncio.gather(*(work() for _ in range(jobs)))
    return failures


async def run_mutations(stage: Stage, seeds: Sequence[int], jobs: int, only: str) -> int:
    """Run seeds without each duty in turn, until some fail; return the number of those missed."""
    missed = 0
    for mutation in (each for each in MUTATIONS if only in each.name):
        with mutation.applied(), small_pages():
            found = await _first_failures(stage, mutation, seeds, jobs)
        missed += found is None
        print(f"{mutation.name:34} {found or 'MISSED'}", flush=True)
    return missed


async def _first_failures(
    stage: Stage, mutation: Mutation, seeds: Sequence[int], jobs: int
) -> str | None:
    """Return the number of seeds until some fail by the expected breach; None without."""
    others = Counter[str]()
    for start in range(0, len(seeds), jobs):
        some = seeds[start : start + jobs]
        failures = await asyncio.gather(*(stage.run_seed(each, shorten=False) for each in some))
        lines = [line for each in failures if each is not None for line in each.breaches]
        wrong = [line for line in lines if mutation.breach in line]
        if wrong:
            more = f" ({sum(others.values())} other breaches)" if others else ""
            return f"{start + len(some):3} seeds: {wrong[0]}{more}"
        others.update(lines)
    return f"none by {mutation.breach!r}, but {others.most_common(2)}" if others else None


def _settings(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    return {
        "conflict_policy": rng.choice(_POLICIES),
        "propagate_deletes": rng.choice([True, False]),
        "ours": rng.choice(SHIFTS),
        "theirs": rng.choice(SHIFTS),
        "retry_max_attempts": 100 if system_of(seed).full else rng.choice(_ATTEMPTS),
    }


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="run this one seed")
    parser.add_argument("--times", type=int, default=1, help="so often; threads of time differ")
    parser.add_argument("--seeds", type=int, default=200, help="run so many")
    parser.add_argument("--first", type=int, default=0, help="start with this seed")
    parser.add_argument("--jobs", type=int, default=6, help="so many at once")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help="seconds without progress until a story is stuck; more on a busy machine",
    )
    parser.add_argument("--mutations", action="store_true", help="the duties taken out, as a table")
    parser.add_argument("--only", default="", help="mutations whose name contains this")
    parser.add_argument("--no-shorten", action="store_true", help="show a failing story whole")
    options = parser.parse_args()
    logs.configure("error", "json")
    seeds = (
        [options.seed] * options.times
        if options.seed is not None
        else list(range(options.first, options.first + options.seeds))
    )
    postgres.prepare_session()
    try:
        stage = Stage(Databases(postgres.server_url()), discover(), options.patience)
        if options.mutations:
            wanted = run_mutations(stage, seeds, options.jobs, options.only)
            return 1 if asyncio.run(wanted) else 0
        failures = asyncio.run(
            run_seeds(stage, seeds, options.jobs, shorten=not options.no_shorten)
        )
    finally:
        postgres.finish_session()
    kinds = Counter(act.kind for seed in seeds for act in draw(seed))
    effects = ", ".join(f"{name} {count}" for name, count in sorted(stage.effects.items()))
    print(f"effects: {effects}")
    print(f"{len(seeds)} seeds, {sum(kinds.values())} acts {dict(kinds)}, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
