"""Search the larger bounds: `python -m tests.kernel.check --large`."""

import argparse
import sys

from tests.kernel import scenarios
from tests.kernel.mutations import MUTATIONS
from tests.kernel.search import Result, Search, explore
from tests.kernel.walks import walk


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; the exit status says whether a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.check", description=__doc__)
    parser.add_argument("--large", action="store_true", help="the bounds that take minutes, too")
    parser.add_argument("--states", type=int, default=1_000_000, help="at most, for each of them")
    parser.add_argument("--only", default="", help="bounds whose name contains this")
    parser.add_argument("--mutations", action="store_true", help="the rules taken out, as a table")
    parser.add_argument("--walks", type=int, default=0, help="random runs through each of them")
    parser.add_argument("--seed", type=int, default=1, help="of the random runs")
    asked = parser.parse_args(arguments)
    return _mutations(asked.states) if asked.mutations else _search(asked)


def _search(asked: argparse.Namespace) -> int:
    bounds = scenarios.small() + (scenarios.large() if asked.large else [])
    bounds += scenarios.deep() if asked.walks else []
    states, seconds, broken = 0, 0.0, 0
    for one in bounds:
        if asked.only not in one.name:
            continue
        result = (
            walk(one, asked.walks, asked.seed)
            if asked.walks
            else Search(one, asked.states, _progress).run()
        )
        print(f"\r\033[K{result}", flush=True)
        states, seconds = states + result.states, seconds + result.seconds
        broken += bool(result.problem)
    print(f"{states:,} states in {seconds:.0f} s of processor time, {broken} broken")
    return 1 if broken else 0


def _progress(result: Result) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{result.name}: {result.states:,} states", end="", file=sys.stderr)


def _mutations(most: int) -> int:
    missed = 0
    for mutation in MUTATIONS:
        with mutation.applied():
            result = explore(mutation.bounds, most)
        missed += not result.problem
        found = f"{len(result.trace) - 1:2} moves: {result.problem}" if result.problem else "MISSED"
        print(f"rule {mutation.rule}  {mutation.name:50} {result.states:7,} states  {found}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
