"""Seeds of the simulation; `make simulate SEEDS=5000` runs more."""

import pytest

from tests.simulation.run import Stage, run_seeds
from tests.support.databases import Databases
from zenskar.plugins.discovery import discover
from zenskar.telemetry import logs

SEEDS, GROUPS = 48, 8


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", range(GROUPS))
async def test_both_sides_become_equal(databases: Databases, group: int) -> None:
    logs.configure("error", "json")
    seeds = range(group, SEEDS, GROUPS)
    failures = await run_seeds(Stage(databases, discover()), seeds, jobs=4, shorten=True)
    assert not failures, "\n\n".join(map(str, failures))
