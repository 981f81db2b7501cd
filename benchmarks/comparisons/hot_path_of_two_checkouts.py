"""CPU of every part of the hot path, in this checkout and in another one.

Both are measured from outside, as processes, so that the other checkout may be of any release.
"""

from benchmarks.bench import Bench, Comparison, Target, interleaved, median
from benchmarks.hot_path import PARTS, open_hot_path
from benchmarks.peers import PeerMissing
from benchmarks.programs import stub_stripe

TITLE = "The hot path of two checkouts: CPU of this one and of the other one"
BEFORE = True
"""Runs only when another checkout is given."""
_MOST_TIMES = 1.1


async def run(bench: Bench) -> Comparison:
    """Measure both checkouts in turn. Raises `PeerMissing` without another one."""
    if bench.before is None:
        raise PeerMissing("no other checkout is given: make bench ONLY=hot_path BEFORE=/a/checkout")
    async with (
        stub_stripe(bench.folder) as stub,
        open_hot_path(bench, stub, bench.before) as before,
        open_hot_path(bench, stub) as now,
    ):
        found = await interleaved(bench.rounds, {"now": now.turn, "before": before.turn})
    ours, theirs = found["now"], found["before"]
    ratios = {
        part: median(ours, f"cpu_us.{part}") / median(theirs, f"cpu_us.{part}") for part in PARTS
    }
    whole = [sum(median(side, f"cpu_us.{part}") for part in PARTS) for side in (ours, theirs)]
    return Comparison(
        whole[0] / whole[1],
        ours,
        theirs,
        tuple(
            Target(f"CPU to {part}, against before", _MOST_TIMES, round(ratio, 3), at_most=True)
            for part, ratio in ratios.items()
        ),
        notes=f"ours is this checkout, theirs is {bench.before}",
    )
