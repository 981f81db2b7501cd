"""A fault test: load, faults, rest, verdict, and a line of figures."""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.kafka import summary
from tests.kafka.load import Load
from tests.kafka.rest import Found, end_faults, rest
from tests.kafka.topology import Topology
from tests.simulation.invariants import breaches_between, doubled, lost, unequal

CHANGES = "ZENSKAR_LANE_CHANGES"
REST_SECONDS = 150.0
_ERROR = re.compile(r'"level": ?"(error|critical)"|Traceback|never retrieved')
_OTHERS = ("broker", "postgres", "zookeeper", "sandbox")

Trouble = Callable[[Topology, Load], Awaitable[None]]


@dataclass(frozen=True)
class Figures:
    """The counts of a fault test."""

    made: int
    kinds: Counter[str]
    faults: Counter[str]
    refusals: int
    load_seconds: float
    rest_seconds: float


def changes() -> int:
    """Return how many changes each fault test makes; a variable scales them."""
    return int(os.environ.get(CHANGES, "2000"))


async def attempt(topology: Topology, name: str, trouble: Trouble) -> Load:
    """Cause faults under load; afterwards nothing is lost, duplicated or different."""
    load = Load(topology, changes())
    began = time.monotonic()
    await asyncio.gather(load.run(), trouble(topology, load))
    loaded = time.monotonic()
    faults = await end_faults(topology)
    load.memory.faults = faults.total()
    found = await rest(topology, REST_SECONDS)
    rested = time.monotonic()
    figures = Figures(
        load.made.total(), load.made, faults, load.refusals, loaded - began, rested - loaded
    )
    _note(name, figures, found, load)
    breaches = breaches_between(found.sides, load.memory)
    assert breaches == [], f"{len(breaches)} breaches: {breaches[:10]}"
    assert found.untraced == []
    causes = load.made.total() + found.sides.conflicts + faults.total()
    assert found.sides.pushes <= causes, f"{found.sides.pushes} pushes for {causes} causes"
    errors = crashes(topology.folder)
    assert errors == [], "\n".join(errors[:10])
    return load


def crashes(folder: Path) -> list[str]:
    """Return the errors that our processes logged; faults of other systems are warnings only."""
    return [
        f"{log.name}: {line[:2000]}"
        for log in sorted(folder.glob("*.log"))
        for line in log.read_text(errors="replace").splitlines()
        if not log.name.startswith(_OTHERS) and _ERROR.search(line)
    ]


def _note(name: str, figures: Figures, found: Found, load: Load) -> None:
    sides, kinds = found.sides, figures.kinds
    here = sum(count for kind, count in kinds.items() if kind.endswith("here"))
    missing = len(lost(sides, load.memory)) + len(unequal(sides)) + len(found.untraced)
    struck = ", ".join(f"{kind} {count}" for kind, count in sorted(figures.faults.items()))
    times = f"load {figures.load_seconds:.1f} s, then {figures.rest_seconds:.1f} s to converge"
    summary.figures += [
        f"{name}: {figures.made} changes ({here} here, {figures.made - here} outside)",
        f"  {found.events} webhooks, {sides.pushes} pushes, {sides.conflicts} conflicts",
        f"  faults injected: {struck}; requests of the load that failed: {figures.refusals}",
        f"  lost {missing}, duplicated {len(doubled(sides, load.memory))}, {times}",
    ]
