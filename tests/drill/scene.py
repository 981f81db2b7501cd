"""The topology under its clients and its Prometheus, and what a person can do to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from tests.cli.processes import run
from tests.drill.load import Clients
from tests.drill.prometheus import open_prometheus
from tests.drill.watch import Watch, watching
from tests.kafka.cluster import Cluster, free_ports
from tests.kafka.java import HOST
from tests.kafka.processes import Process, serve
from tests.kafka.topology import Topology, answers, open_topology, sandbox, zenskar

ALL_ROLES = "relay,inbound,outbound,scheduler"
WORKERS = ("worker-1", "worker-2")
_START_SECONDS = 60.0
_SETTINGS = {
    "ZENSKAR_LOG_LEVEL": "info",
    "ZENSKAR_DELETE_GUARD_LIMIT": "10",
    "ZENSKAR_RESEND_SECONDS": "60",
    "ZENSKAR_RETRY_MAX_ATTEMPTS": "8",
    "ZENSKAR_BREAKER_FAILURES": "5",
}


@dataclass
class Scene:
    """The running parts, and the commands that a person has run."""

    topology: Topology
    clients: Clients
    watch: Watch
    commands: list[tuple[str, ...]] = field(default_factory=list)
    others: list[Process] = field(default_factory=list)
    made_there: list[str] = field(default_factory=list)
    backed_up: datetime | None = None

    @property
    def call_seconds(self) -> float:
        """The time limit of a call."""
        return float(self.topology.variables["ZENSKAR_REQUEST_TIMEOUT_SECONDS"])

    @property
    def cluster(self) -> Cluster:
        assert self.topology.cluster is not None
        return self.topology.cluster

    @property
    def broker(self) -> Process:
        return self.cluster.brokers[0]

    async def command(self, *words: str, codes: tuple[int, ...] = (0,)) -> Any:
        """Run a command as a person does, and return what it prints."""
        self.commands.append(words)
        done = await asyncio.to_thread(
            run,
            *words,
            "--output",
            "json",
            folder=self.topology.folder,
            **self.topology.variables,
        )
        assert done.returncode in codes, f"{words} ended with {done.returncode}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    async def restart(self, **changed: str) -> None:
        """Restart all processes one after the other, with changed settings."""
        here = self.topology
        here.variables.update(changed)
        for name in WORKERS:
            await self.restart_worker(name)
        await here.api.stop()
        here.api = zenskar("api", ("api",), here.folder, here.variables)
        await here.start_api()

    async def stop(self) -> None:
        """Stop all processes."""
        here = self.topology
        await asyncio.gather(*(each.stop() for each in (here.api, *here.workers.values())))

    async def start(self) -> None:
        """Start all processes."""
        here = self.topology
        await asyncio.gather(here.start_api(), *map(here.start_worker, here.workers))

    async def restart_worker(self, name: str) -> None:
        """Restart a worker with the present settings."""
        here = self.topology
        port = here.worker_urls[name].rpartition(":")[2]
        await here.workers[name].stop()
        variables = here.variables | {"ZENSKAR_WORKER_HEALTH_PORT": port}
        command = ("worker", "--roles", ALL_ROLES)
        here.workers[name] = zenskar(name, command, here.folder, variables)
        await here.start_worker(name)

    async def at_stripe(self, method: str, path: str, body: Any = None) -> Any:
        """Control the sandbox, as on the dashboard of Stripe."""
        url = f"{self.topology.sandbox_url}/_sandbox/{path}"
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, json=body) as response,
        ):
            assert response.status < 300, f"{response.status}: {await response.text()}"
            return await response.json(content_type=None)

    async def open_other_account(self) -> str:
        """Start an empty Stripe of another account, and return its address."""
        (port,) = free_ports(1)
        other = sandbox("other-account", self.topology.folder, port)
        self.others.append(other)
        url = f"http://{HOST}:{port}"
        await serve(other, lambda: answers(f"{url}/_sandbox/faults"), _START_SECONDS)
        return url

    async def fault(self, kind: str, **options: Any) -> None:
        """Inject a fault into Stripe, until `end_faults`."""
        await self.at_stripe("POST", "faults", {"kind": kind, "count": 1_000_000, **options})

    async def end_faults(self) -> None:
        """End the faults of Stripe."""
        await self.at_stripe("DELETE", "faults")

    async def customers_at_stripe(self, count: int, name: str) -> list[str]:
        """Create customers at Stripe and return their ids."""
        made = []
        for number in range(count):
            body = {"name": f"{name} {number}", "email": f"{name.lower()}{number}@example.com"}
            made.append((await self.at_stripe("POST", "customers", body))["id"])
        self.made_there += made
        return made


@asynccontextmanager
async def open_scene(folder: Path) -> AsyncIterator[Scene]:
    """Start everything, with clients that create customers."""
    async with open_topology(
        folder, workers=(ALL_ROLES, ALL_ROLES), variables=_SETTINGS
    ) as topology:
        targets = {
            "zenskar-api": [topology.api_url.removeprefix("http://")],
            "zenskar-worker": [
                url.removeprefix("http://") for url in topology.worker_urls.values()
            ],
        }
        async with (
            open_prometheus(folder, targets) as prometheus,
            watching(prometheus, topology.api_url) as watch,
        ):
            scene = Scene(topology, Clients(topology.api_url), watch)
            running = asyncio.create_task(scene.clients.run())
            try:
                yield scene
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await asyncio.gather(*(process.stop() for process in scene.others))
