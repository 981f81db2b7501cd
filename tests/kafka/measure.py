"""Measure the rate of N workers on waiting messages: `tests.kafka.measure --workers 1,2`."""

import argparse
import asyncio
import logging
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tests.kafka.processes import until
from tests.kafka.rest import rest
from tests.kafka.topology import Topology, open_topology

ALL_ROLES = "relay,inbound,outbound,scheduler"
_AT_ONCE = 16
_DEADLINE_SECONDS = 600.0
_SINCE = "FROM sync_events WHERE direction = $1 AND status = 'succeeded' AND updated_at > $2"
_DONE = f"SELECT count(*) {_SINCE}"
_SECONDS = f"SELECT extract(epoch FROM max(updated_at) - min(updated_at)) {_SINCE}"
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


async def measure(workers: int, changes: int, folder: Path) -> str:
    """Make changes while no worker runs, then start the workers and time them."""
    patient = {"ZENSKAR_REQUEST_TIMEOUT_SECONDS": "30", "ZENSKAR_INTENT_LEASE_SECONDS": "60"}
    async with open_topology(folder, workers=(), variables=patient) as topology:
        out = await _drain(topology, "outbound", workers, changes)
        await rest(topology, _DEADLINE_SECONDS)
        for worker in list(topology.workers):
            await topology.remove_worker(worker)
        back = await _drain(topology, "inbound", workers, changes)
        sessions = await _ask(topology, _SESSIONS) - 1
    return f"| {workers} | {changes / out:.0f} | {changes / back:.0f} | {sessions} |"


async def _drain(topology: Topology, direction: str, workers: int, changes: int) -> float:
    """Return the seconds between the first and the last success."""
    since = await _ask(topology, "SELECT now()")
    await _fill(topology, direction, changes)
    names = [f"{direction}-{number}" for number in range(workers)]
    await asyncio.gather(*(topology.add_worker(name, ALL_ROLES) for name in names))

    async def finished() -> bool:
        return await _ask(topology, _DONE, direction, since) >= changes

    await until(finished, _DEADLINE_SECONDS, "the end of the work")
    return float(await _ask(topology, _SECONDS, direction, since))


async def _fill(topology: Topology, direction: str, changes: int) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession() as http:

        async def make(number: int) -> None:
            body = {"name": f"n{number}", "email": f"n{number}@example.com"}
            here, outside = topology.api_url, f"{topology.sandbox_url}/_sandbox"
            url = here if direction == "outbound" else outside
            async with limit, http.post(f"{url}/customers", json=body) as response:
                assert response.status == 201, await response.text()

        await asyncio.gather(*(make(number) for number in range(changes)))
        async with http.post(
            f"{topology.sandbox_url}/_sandbox/settle", json={"timeout_seconds": 60}
        ) as response:
            assert response.status == 200, await response.text()


async def _ask(topology: Topology, query: str, *values: object) -> Any:
    connection = await asyncpg.connect(topology.database_url)
    try:
        return await connection.fetchval(query, *values)
    finally:
        await connection.close()


async def _run(counts: list[int], changes: int) -> None:
    print(f"{os.cpu_count()} cores, {platform.machine()}, {changes} changes each way")
    print("| workers | pushes a second | webhooks a second | sessions of PostgreSQL |")
    print("| --- | --- | --- | --- |")
    for workers in counts:
        with tempfile.TemporaryDirectory(prefix="zenskar-measure-") as folder:
            os.chmod(folder, 0o755)  # noqa: PTH101 - PostgreSQL's own user must reach its data
            print(await measure(workers, changes, Path(folder)), flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.kafka.measure", description=__doc__)
    parser.add_argument("--workers", default="1,2", help="how many, comma-separated (1,2)")
    parser.add_argument("--changes", type=int, default=2000, help="each way (2000)")
    arguments = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    counts = [int(count) for count in arguments.workers.split(",")]
    asyncio.run(_run(counts, arguments.changes))


if __name__ == "__main__":
    main()
