"""The parts of every comparison: servers, rounds, figures."""

import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import Cost, is_disturbed
from benchmarks.servers import Postgres, open_postgres

Measurement = Mapping[str, float]
Spread = Mapping[str, Mapping[str, float]]


@dataclass
class Bench:
    """The servers of a run, started on first use, and the size of its rounds."""

    folder: Path
    stack: AsyncExitStack
    rounds: int = 5
    scale: float = 1.0
    long: bool = False
    before: Path | None = None
    """Another checkout, for the comparison with it."""
    versions: dict[str, str] = field(default_factory=dict)
    disturbed: list[float] = field(default_factory=list)
    _postgres: Postgres | None = None

    def count(self, events: int) -> int:
        """Return the number of events of a round, from that of a full round."""
        return max(200, int(events * self.scale))

    async def postgres(self) -> Postgres:
        """Return the database server."""
        if self._postgres is None:
            self._postgres = await self.stack.enter_async_context(open_postgres(self.folder))
            self.versions["postgresql"] = self._postgres.version
            self.versions["durability"] = str(await self._postgres.durable())
        return self._postgres

    async def clear(self) -> None:
        """Remove the state of a comparison before the next."""
        if self._postgres is not None:
            await self._postgres.clear()

    @asynccontextmanager
    async def kafka(self) -> AsyncIterator[tuple[str, list[int]]]:
        """Yield the address of an empty broker, and its processes."""
        from tests.kafka.cluster import open_cluster

        folder = Path(tempfile.mkdtemp(prefix="kafka-", dir=self.folder))
        async with open_cluster(folder) as cluster:
            self.versions["kafka"] = cluster.kafka.kafka if cluster.kafka else "given"
            yield cluster.bootstrap, [broker.pid for broker in cluster.brokers]

    def note(self, cost: Cost) -> None:
        """Record how much other processes used of the machine."""
        self.disturbed.append(cost.disturbed)

    @property
    def warnings(self) -> list[str]:
        """Print the reasons to distrust the figures."""
        worst = max(self.disturbed, default=0.0)
        if not is_disturbed(worst):
            return []
        return [f"other processes used up to {worst:.0%} of the machine meanwhile"]


@dataclass(frozen=True)
class Target:
    """The bound of a figure: at least, or at most."""

    what: str
    value: float
    reached: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Return whether the figure meets the bound."""
        return self.reached <= self.value if self.at_most else self.reached >= self.value

    def to_json(self) -> dict[str, Any]:
        """Return the values for the results."""
        rule = "at_most" if self.at_most else "at_least"
        return {"what": self.what, rule: self.value, "reached": self.reached, "met": self.met}


@dataclass
class Comparison:
    """The result of a comparison; `ratio` is ours over theirs, None without a second side."""

    ratio: float | None
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any] | None = None
    targets: Sequence[Target] = ()
    others: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the values for the results."""
        ratio = None if self.ratio is None else round(self.ratio, 3)
        found: dict[str, Any] = {"ratio": ratio, "ours": self.ours, "theirs": self.theirs}
        if self.others:
            found["others"] = self.others
        found["targets"] = [target.to_json() for target in self.targets]
        return found | ({"notes": self.notes} if self.notes else {})


async def interleaved(
    rounds: int,
    sides: Mapping[str, Callable[[int], Awaitable[Measurement]]],
    *,
    same_order: bool = False,
) -> dict[str, dict[str, dict[str, float]]]:
    """Run every side in each round; return the spread of each figure by side.

    The first round warms up and does not count. Every second round has the reverse order, so that
    no side always follows the same side.
    """
    found: dict[str, list[Measurement]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        order = list(sides.items())
        for name, side in order if same_order or number % 2 else reversed(order):
            measured = await side(number)
            if number:
                found[name].append(measured)
    return {name: spread(measured) for name, measured in found.items()}


def spread(measured: Sequence[Measurement]) -> dict[str, dict[str, float]]:
    """Return minimum, median and maximum of each figure."""
    names = list(dict.fromkeys(name for one in measured for name in one))
    return {name: _spread([one[name] for one in measured if name in one]) for name in names}


def figures(events: int, seconds: float, cost: Cost) -> dict[str, float]:
    """Return rate and cost of a load."""
    cpu = {f"cpu_us.{part}": used for part, used in cost.per_event(events).items()}
    return {"rate": round(events / seconds, 1), **cpu}


def median(side: Spread, figure: str) -> float:
    """Return the median of a side's figure."""
    return side[figure]["median"]


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "min": round(min(values), 2),
        "median": round(statistics.median(values), 2),
        "max": round(max(values), 2),
    }
