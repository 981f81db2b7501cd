"""After any kill under load both sides become equal, with nothing lost or duplicated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiokafka.admin import NewPartitions

from tests.kafka import summary
from tests.kafka.load import Load
from tests.kafka.offsets import begin_anew, lag
from tests.kafka.processes import until
from tests.kafka.rest import read_both_sides, rest
from tests.kafka.topics import admin
from tests.kafka.topology import ROLES, Topology, open_topology
from tests.kafka.trial import REST_SECONDS, attempt, changes
from zenskar.model.envelope import INBOUND, OUTBOUND

ALL_ROLES = "relay,inbound,outbound,scheduler"
SESSION_SECONDS = 12.0
"""Longer than the brokers wait for a silent member of a group."""

pytestmark = pytest.mark.timeout(400)


@pytest_asyncio.fixture
async def topology(home: Path) -> AsyncIterator[Topology]:
    async with open_topology(home, workers=(*ROLES, ALL_ROLES)) as topology:
        yield topology


@pytest.mark.own_cluster
async def test_a_killed_broker(topology: Topology) -> None:
    assert topology.cluster is not None
    cluster, (broker,) = topology.cluster, topology.cluster.brokers

    async def trouble(topology: Topology, load: Load) -> None:
        await load.reached(0.2)
        await broker.kill()
        await until(lambda: readiness(topology, "degraded"), 30, "a degraded readiness")
        await load.reached(0.5)  # the API continues without Kafka
        await cluster.start_broker()
        await until(lambda: readiness(topology, "ok"), 30, "readiness")
        await load.reached(0.7)
        await broker.kill()
        await cluster.start_broker()

    await attempt(topology, "broker killed twice", trouble)


@pytest.mark.own_cluster
async def test_a_frozen_broker(topology: Topology) -> None:
    assert topology.cluster is not None
    (broker,) = topology.cluster.brokers

    async def trouble(topology: Topology, load: Load) -> None:
        await load.reached(0.2)
        broker.pause()
        await until(lambda: readiness(topology, "degraded"), 30, "a degraded readiness")
        await load.reached(0.5)  # webhooks are still received
        broker.resume()

    await attempt(topology, "broker frozen", trouble)


@pytest.mark.own_cluster
@pytest.mark.zookeeper
async def test_a_killed_zookeeper(topology: Topology) -> None:
    assert topology.cluster is not None
    cluster = topology.cluster
    assert cluster.zookeeper is not None

    async def trouble(_topology: Topology, load: Load) -> None:
        await load.reached(0.2)
        await cluster.zookeeper.kill()
        await load.reached(0.6)
        await cluster.start_zookeeper()

    await attempt(topology, "ZooKeeper killed", trouble)


async def test_a_restarted_database(topology: Topology) -> None:
    postgres = topology.postgres

    async def trouble(topology: Topology, load: Load) -> None:
        await load.reached(0.2)
        await postgres.process.kill()
        await until(lambda: readiness(topology, "unavailable"), 30, "readiness to go")
        await postgres.start()
        await load.reached(0.5)
        await postgres.stop()
        await postgres.start()
        await load.reached(0.8)
        await postgres.process.kill()
        await postgres.start()

    await attempt(topology, "PostgreSQL killed twice, restarted once", trouble)


async def test_killed_workers(topology: Topology) -> None:
    async def trouble(topology: Topology, load: Load) -> None:
        for turn in range(1, 9):
            await load.reached(turn / 10)
            name = f"worker-{turn % 3 + 1}"
            await topology.kill_worker(name)
            await topology.start_worker(name)

    await attempt(topology, "workers killed 8 times", trouble)


async def test_frozen_workers(topology: Topology) -> None:
    async def trouble(topology: Topology, load: Load) -> None:
        for turn, name in enumerate(("worker-1", "worker-2", "worker-3")):
            await load.reached(0.1 + 0.25 * turn)
            topology.workers[name].pause()
            # Longer than its session and its leases: other workers receive its messages.
            await asyncio.sleep(SESSION_SECONDS)
            topology.workers[name].resume()

    await attempt(topology, "workers frozen for 12 s each", trouble)


async def test_added_partitions(topology: Topology) -> None:
    assert topology.cluster is not None
    bootstrap = topology.cluster.bootstrap

    async def trouble(_topology: Topology, load: Load) -> None:
        for share, total in ((0.3, 16), (0.6, 24)):
            await load.reached(share)
            async with admin(bootstrap) as client:
                more = {topic: NewPartitions(total) for topic in (OUTBOUND, INBOUND)}
                await client.create_partitions(more)

    await attempt(topology, "partitions 12 to 16 to 24", trouble)


async def test_workers_that_come_and_go(topology: Topology) -> None:
    async def trouble(topology: Topology, load: Load) -> None:
        for turn in range(1, 7):
            await load.reached(turn / 8)
            await topology.add_worker(f"extra-{turn}", ALL_ROLES)
            await topology.remove_worker(f"extra-{turn - 1}" if turn > 1 else "worker-3")

    await attempt(topology, "workers added and removed 6 times", trouble)


async def test_a_whole_replay_changes_nothing(topology: Topology) -> None:
    assert topology.cluster is not None
    bootstrap = topology.cluster.bootstrap

    async def nothing(_topology: Topology, _load: Load) -> None:
        return

    await attempt(topology, "before the replay", nothing)
    before = (await read_both_sides(topology)).sides
    names = list(topology.workers)
    for name in names:
        await topology.workers[name].stop()
    replayed = await begin_anew(bootstrap, topology.group)
    for name in names:
        await topology.start_worker(name)
    await until(
        lambda: _none(lag(bootstrap, topology.group)), REST_SECONDS, "the end of the replay"
    )
    after = (await rest(topology, REST_SECONDS)).sides
    summary.figures.append(f"  replayed {replayed} messages from the beginning: nothing changed")
    assert replayed > changes() // 2
    assert after.records == before.records
    assert after.outside == before.outside
    assert after.pushes == before.pushes


async def _none(count: Awaitable[int]) -> bool:
    return await count == 0


async def readiness(topology: Topology, status: str) -> bool:
    """Return whether the API reports this readiness."""
    with suppress(aiohttp.ClientError, TimeoutError):
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http,
            http.get(f"{topology.api_url}/health/ready") as response,
        ):
            return (await response.json())["status"] == status
    return False
