"""A relay is killed at its failpoints: every row of the outbox reaches Kafka, in order."""

import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.crash.processes import ROOT
from tests.kafka import summary
from tests.kafka.load import Load
from tests.kafka.moved import note_rows, read_moved
from tests.kafka.processes import Process, until
from tests.kafka.rest import database
from tests.kafka.topology import Topology, open_topology
from tests.kafka.trial import attempt

KILLS = 5
DEADLINE_SECONDS = 60.0
CLAIMED = "SELECT count(*) FROM outbox WHERE claimed_until > now() + interval '3 seconds'"
"""A recent claim: the claims of these workers last four seconds."""

pytestmark = pytest.mark.timeout(400)


@pytest_asyncio.fixture
async def topology(home: Path) -> AsyncIterator[Topology]:
    async with open_topology(home, workers=("outbound", "inbound,scheduler")) as topology:
        await note_rows(topology)
        yield topology


@pytest.mark.parametrize("point", ["relay.claimed", "relay.published"])
async def test_a_killed_relay_loses_nothing_and_keeps_the_order(
    topology: Topology, point: str
) -> None:
    await topology.add_worker("relay", "relay")

    async def trouble(topology: Topology, load: Load) -> None:
        for turn in range(1, KILLS + 1):
            await load.reached(turn / (KILLS + 2))
            await topology.remove_worker("relay")
            await killed_at(topology, point)
            await topology.add_worker("relay", "relay")

    await attempt(topology, f"relay killed {KILLS} times at {point}", trouble)
    moved = await read_moved(topology)
    summary.figures.append(f"  {len(moved.rows)} rows moved, {moved.repeated} of them once more")
    assert moved.missing == []
    assert moved.disordered == []
    assert moved.applied_twice == 0
    assert (moved.repeated >= KILLS) is (point == "relay.published")


@pytest.mark.own_cluster
async def test_a_relay_killed_while_it_publishes_loses_nothing(topology: Topology) -> None:
    """The brokers hang, so the step of the relay is known."""
    assert topology.cluster is not None
    (broker,) = topology.cluster.brokers
    await topology.add_worker("relay", "relay")

    async def trouble(topology: Topology, load: Load) -> None:
        for turn in range(1, KILLS + 1):
            await load.reached(turn / (KILLS + 2))
            broker.pause()
            await until(lambda: claims(topology), DEADLINE_SECONDS, "a claim")
            await topology.kill_worker("relay")
            broker.resume()
            await topology.start_worker("relay")

    await attempt(topology, f"relay killed {KILLS} times while it published", trouble)
    moved = await read_moved(topology)
    assert moved.missing == []
    assert moved.disordered == []
    assert moved.applied_twice == 0


async def claims(topology: Topology) -> int:
    """Return the number of recently claimed rows."""
    async with database(topology) as connection:
        return await connection.fetchval(CLAIMED)


async def killed_at(topology: Topology, point: str) -> None:
    """Start a relay that kills itself at the failpoint, and wait for its end."""
    command = (sys.executable, "-m", "tests.crash.victim", "relay", point)
    variables = topology.variables | {"PYTHONPATH": str(ROOT)}
    victim = Process("victim", command, topology.folder, variables)
    victim.start()

    async def ended() -> bool:
        return not victim.alive

    try:
        await until(ended, DEADLINE_SECONDS, f"the death at {point}")
    finally:
        await victim.kill()
    assert victim.returncode == -signal.SIGKILL, victim.tail()
    topology.kills += 1
