"""The services of the compose file as processes: commands, order and health checks."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.cli.processes import run
from tests.deploy.compose import WITH_ZOOKEEPER, ours
from tests.kafka.processes import until
from tests.kafka.topology import ROLES, Topology, open_topology

pytestmark = pytest.mark.timeout(180)


async def test_it_serves_and_syncs_as_the_compose_file_starts_it(home: Path) -> None:
    """With API keys, secrets in files, and separate workers for the two directions."""
    async with open_topology(home, workers=ROLES, variables={"ZENSKAR_AUTH": "required"}) as here:
        services = ours(WITH_ZOOKEEPER)
        assert healthy(services["zenskar-api"], here.api_url, 8000)
        for url in here.worker_urls.values():
            assert healthy(services["zenskar-worker"], url, 8001)
        key = await asyncio.to_thread(new_key, here)
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(here.api_url, headers=headers) as http:
            body = {"name": "Ada", "email": "ada@example.com"}
            async with http.post("/customers", json=body) as response:
                assert response.status == 201
                record = await response.json()
            await until(lambda: in_sync(http, record["id"]), 30, "the customer outside")
            url = f"{here.sandbox_url}/_sandbox/customers"
            async with http.post(url, json={"name": "Grace"}) as response:
                assert response.status == 201
            await until(lambda: named(http, "Grace"), 30, "the customer from outside")
        for name in list(here.workers):
            await here.remove_worker(name)
        assert await here.api.stop() == 0


async def test_without_its_database_the_health_check_fails(home: Path) -> None:
    async with open_topology(home, workers=()) as here:
        service = ours(WITH_ZOOKEEPER)["zenskar-api"]
        assert healthy(service, here.api_url, 8000)
        await here.postgres.stop()

        async def fails() -> bool:
            return not await asyncio.to_thread(healthy, service, here.api_url, 8000)

        # An answer is kept for a moment, for everybody who asks.
        await until(fails, 30)


def healthy(service: dict[str, Any], url: str, port: int) -> bool:
    """Run a service's health check as the container would, at the port of this test."""
    kind, program, *arguments = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    assert f"http://127.0.0.1:{port}/" in arguments[-1]
    arguments[-1] = arguments[-1].replace(f"http://127.0.0.1:{port}", url)
    done = subprocess.run((sys.executable, *arguments), capture_output=True, check=False)
    return done.returncode == 0


def new_key(here: Topology) -> str:
    made = run("keys", "create", "lane", "--output", "json", folder=here.folder, **here.variables)
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["key"])


async def in_sync(http: aiohttp.ClientSession, record_id: str) -> bool:
    async with http.get(f"/customers/{record_id}") as response:
        external = (await response.json())["external"]
        return bool(external) and external[0]["in_sync"]


async def named(http: aiohttp.ClientSession, name: str) -> bool:
    async with http.get("/customers") as response:
        return name in {one["name"] for one in (await response.json())["data"]}
