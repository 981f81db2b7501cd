"""Explore every interleaving of a world, breadth first, so that a found trace is a shortest one."""

import gc
from array import array
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from time import process_time

from tests.kernel.invariants import always, at_rest
from tests.kernel.moves import Moves
from tests.kernel.world import Bounds, World, canonical

_OPEN, _DONE = 1, 2


@dataclass(slots=True)
class Result:
    """The result of a search."""

    name: str
    states: int = 0
    rests: int = 0
    seconds: float = 0.0
    complete: bool = True
    problem: str = ""
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.states / max(self.seconds, 1e-9)
        scope = "all of it" if self.complete else "cut off"
        line = (
            f"{self.name}: {self.states:,} states ({scope}), {self.rests:,} at rest, "
            f"{self.seconds:.1f} s, {rate:,.0f}/s"
        )
        if not self.problem:
            return line
        steps = "\n".join(f"  {n:2}. {step}" for n, step in enumerate(self.trace, 1))
        return f"{line}\n{self.problem}\n{steps}"


class Search:
    """A search. States are kept as hashes; replaying its moves finds a trace again."""

    def __init__(self, bounds: Bounds, most: int) -> None:
        self._moves = Moves(bounds)
        self._bounds = bounds
        self._most = most
        self._known: dict[int, int] = {}
        self._parents = array("q")
        self._choices = array("h")
        self._edges = array("q")
        self._starts = array("q", [0])
        self._frontier: deque[tuple[int, World]] = deque()

    def run(self) -> Result:
        """Explore until every state is seen, a rule is broken or there are too many states."""
        result, started = Result(self._bounds.name), process_time()
        with _no_collector():
            self._explore(result)
        result.states = len(self._known)
        result.seconds = process_time() - started
        return result

    def _explore(self, result: Result) -> None:
        self._add(canonical(self._bounds.start), -1, 0)
        while self._frontier and not result.problem:
            if len(self._known) >= self._most:
                result.complete = False
                break
            index, world = self._frontier.popleft()
            self._expand(index, world, result)
        if not result.problem:
            self._check_rest(result)

    def _expand(self, index: int, world: World, result: Result) -> None:
        problem = always(world)
        if not problem:
            for choice, (_, after, free) in enumerate(self._successors(world)):
                target = self._add(canonical(after), index, choice)
                if free:
                    self._edges.append(target)
            if len(self._edges) == self._starts[-1]:
                result.rests += 1
                problem = at_rest(self._bounds, self._moves.shell, world)
        self._starts.append(len(self._edges))
        if problem:
            result.problem, result.trace = problem, self._trace(index)

    def _successors(self, world: World) -> Iterator[tuple[str, World, bool]]:
        for name, after in self._moves.free(world):
            yield name, after, True
        for name, after in chain(self._moves.zombies(world), self._moves.costly(world)):
            yield name, after, False

    def _add(self, world: World, parent: int, choice: int) -> int:
        key = hash(world)
        index = self._known.get(key)
        if index is None:
            index = self._known[key] = len(self._known)
            self._parents.append(parent)
            self._choices.append(choice)
            self._frontier.append((index, world))
        return index

    def _check_rest(self, result: Result) -> None:
        """No livelock: no endless order of free moves."""
        expanded, mark = len(self._starts) - 1, bytearray(len(self._known))
        for start in range(expanded):
            path, edges = [start], [self._free_edges(start)]
            while path:
                mark[path[-1]] |= _OPEN
                after = next((e for e in edges[-1] if e < expanded and not mark[e] & _DONE), None)
                if after is None:
                    edges.pop()
                    mark[path.pop()] |= _DONE
                elif mark[after]:
                    result.problem, result.trace = "it never comes to rest", self._trace(after)
                    return
                else:
                    path.append(after)
                    edges.append(self._free_edges(after))

    def _free_edges(self, index: int) -> Iterator[int]:
        return iter(self._edges[self._starts[index] : self._starts[index + 1]])

    def _trace(self, index: int) -> list[str]:
        choices: list[int] = []
        while self._parents[index] >= 0:
            choices.append(self._choices[index])
            index = self._parents[index]
        world, names = canonical(self._bounds.start), []
        for choice in reversed(choices):
            name, after, _ = next(islice(self._successors(world), choice, None))
            names.append(name)
            world = canonical(after)
        return [*names, _show(world)]


def _show(world: World) -> str:
    return (
        f"records {[tuple(r) for r in world.records]}, objects {[o.fields for o in world.objects]}"
    )


@contextmanager
def _no_collector() -> Iterator[None]:
    """States refer to no state, so a search for cycles among millions of them finds none."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def explore(bounds: Bounds, most: int = 10_000_000) -> Result:
    """Search within some bounds."""
    return Search(bounds, most).run()
