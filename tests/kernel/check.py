"""Search the larger bounds: `python -m tests.kernel.check --large`."""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.kernel import scenarios
from tests.kernel.mutations import MUTATIONS, Mutation
from tests.kernel.search import Result, explore
from tests.kernel.walks import walk
from tests.kernel.world import Bounds


def main(arguments: list[str] | None = None) -> int:
    """Run the search; the exit status says whether a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.check", description=__doc__)
    parser.add_argument("--large", action="store_true", help="the bounds that take minutes, too")
    parser.add_argument("--states", type=int, default=1_000_000, help="at most, for each of them")
    parser.add_argument("--only", default="", help="bounds whose name contains this")
    parser.add_argument("--mutations", action="store_true", help="the rules taken out, as a table")
    parser.add_argument("--walks", type=int, default=0, help="random runs through each of them")
    parser.add_argument("--seed", type=int, default=1, help="of the random runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    asked = parser.parse_args(arguments)
    return _mutations(asked) if asked.mutations else _search(asked)


def _search(asked: argparse.Namespace) -> int:
    bounds = [bound for bound in _bounds(asked) if asked.only in bound.name]
    states, seconds, broken = 0, 0.0, 0
    with ProcessPoolExecutor(asked.jobs) as pool:
        searches = [pool.submit(_one, asked, bound.name) for bound in bounds]
        for done, search in enumerate(as_completed(searches), 1):
            result = search.result()
            print(f"{done:2}/{len(bounds)} {result}", flush=True)
            states, seconds = states + result.states, seconds + result.seconds
            broken += bool(result.problem) or (result.complete and not result.rests)
    print(f"{states:,} states in {seconds:.0f} s of processor time, {broken} broken")
    return 1 if broken else 0


def _bounds(asked: argparse.Namespace) -> list[Bounds]:
    small = {bound.name: bound for bound in (*scenarios.small(), *(m.bounds for m in MUTATIONS))}
    large = scenarios.large() if asked.large else []
    return [*small.values(), *large, *(scenarios.deep() if asked.walks else [])]


def _one(asked: argparse.Namespace, name: str) -> Result:
    """Search the bounds of this name. Processes receive names, which are easy to pickle."""
    (bounds,) = (bound for bound in _bounds(asked) if bound.name == name)
    if asked.walks:
        return walk(bounds, asked.walks, asked.seed)
    return explore(bounds, asked.states)


def _mutations(asked: argparse.Namespace) -> int:
    missed = 0
    with ProcessPoolExecutor(asked.jobs) as pool:
        searches = [pool.submit(_without, n, asked.states) for n in range(len(MUTATIONS))]
        for mutation, search in zip(MUTATIONS, searches, strict=True):
            result = search.result()
            missed += not result.problem
            print(_row(mutation, result), flush=True)
    return 1 if missed else 0


def _without(number: int, most: int) -> Result:
    """Search with a rule removed from the kernel of this process."""
    mutation = MUTATIONS[number]
    with mutation.applied():
        return explore(mutation.bounds, most)


def _row(mutation: Mutation, result: Result) -> str:
    found = f"{len(result.trace) - 1:2} moves: {result.problem}" if result.problem else "MISSED"
    return f"rule {mutation.rule}  {mutation.name:50} {result.states:7,} states  {found}"


if __name__ == "__main__":
    sys.exit(main())
