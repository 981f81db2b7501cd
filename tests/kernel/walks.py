"""Random runs through bounds that are too large for a full search."""

from random import Random
from time import process_time

from tests.kernel.invariants import always, at_rest
from tests.kernel.moves import Moves
from tests.kernel.search import Result
from tests.kernel.world import Bounds, canonical

_LONGEST = 500


def walk(bounds: Bounds, walks: int, seed: int) -> Result:
    """Make random moves until none is left, many times."""
    result, started = Result(f"{bounds.name}, at random", complete=False), process_time()
    moves, rng = Moves(bounds), Random(seed)
    for _ in range(walks):
        _one(bounds, moves, rng, result)
        if result.problem:
            break
    result.seconds = process_time() - started
    return result


def _one(bounds: Bounds, moves: Moves, rng: Random, result: Result) -> None:
    """Prefer outside events early in one run and late in the next."""
    world, eager = canonical(bounds.start), rng.random()
    trace: list[str] = []
    for _ in range(_LONGEST):
        result.states += 1
        free = list(moves.free(world))
        result.rests += not free
        problem = always(world) or (not free and at_rest(bounds, moves.shell, world))
        costly = [*moves.zombies(world), *moves.costly(world)]
        if problem or not (free or costly):
            result.problem, result.trace = problem or "", [*trace, ""] if problem else []
            return
        choices = costly if not free or (costly and rng.random() < eager) else free
        name, after = rng.choice(choices)
        trace.append(name)
        world = canonical(after)
    result.problem, result.trace = "it never comes to rest", trace
