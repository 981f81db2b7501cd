"""Seeds of the simulation; `make simulate SEEDS=5000` runs more."""

import pytest

from tests.simulation.run import run_seeds
from zenskar.telemetry import logs

SEEDS, GROUPS = 200, 8


@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", range(GROUPS))
async def test_both_sides_become_equal(postgres_server: str, group: int) -> None:
    logs.configure("error", "json")
    seeds = list(range(group, SEEDS, GROUPS))
    failures = await run_seeds(postgres_server, seeds, jobs=6, shorten=True)
    assert not failures, "\n\n".join(map(str, failures))
