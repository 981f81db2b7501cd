"""The services of the compose file as processes on this machine."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.cli.processes import ZENSKAR, environment
from tests.kafka.cluster import Cluster, free_ports, open_cluster
from tests.kafka.java import HOST
from tests.kafka.postgres import Server, open_server
from tests.kafka.processes import Process, serve, until
from tests.kafka.topics import delete_topics

API_KEY = "sk_test_of_the_kafka_lane"
SECRET = "whsec_of_the_kafka_lane"
ROLES = ("relay,outbound", "inbound,scheduler")
_START_SECONDS = 60.0
_SETTINGS = {
    "ZENSKAR_LOG_LEVEL": "warning",
    "ZENSKAR_HOST": HOST,
    "ZENSKAR_CONNECTIONS": "stripe",
    "ZENSKAR_POLL_SECONDS": "0.5",
    "ZENSKAR_REQUEST_TIMEOUT_SECONDS": "5",
    "ZENSKAR_KAFKA_SEND_TIMEOUT_SECONDS": "2",
    "ZENSKAR_RETRY_MAX_ATTEMPTS": "100",
    "ZENSKAR_RETRY_BASE_SECONDS": "0.1",
    "ZENSKAR_RETRY_MAX_SECONDS": "2",
    "ZENSKAR_INTENT_LEASE_SECONDS": "10",
    "ZENSKAR_CLAIM_LEASE_SECONDS": "4",
    "ZENSKAR_PROBE_SECONDS": "0.5",
    "ZENSKAR_SHUTDOWN_GRACE_SECONDS": "5",
    "ZENSKAR_DELETE_GUARD_LIMIT": "0",
    "STRIPE_API_KEY": API_KEY,
    "STRIPE_WEBHOOK_SECRET": SECRET,
    "STRIPE_RATE_LIMIT": "0",
}


@dataclass
class Topology:
    """The running parts by name."""

    folder: Path
    postgres: Server
    cluster: Cluster | None
    variables: dict[str, str]
    sandbox_url: str
    sandbox: Process
    api_url: str
    api: Process
    workers: dict[str, Process] = field(default_factory=dict)
    worker_urls: dict[str, str] = field(default_factory=dict)
    kills: int = 0

    @property
    def group(self) -> str:
        """The prefix of the consumer groups."""
        return self.variables["ZENSKAR_KAFKA_GROUP"]

    @property
    def database_url(self) -> str:
        return self.variables["ZENSKAR_DATABASE_URL"]

    async def add_worker(self, name: str, roles: str) -> None:
        """Start another worker."""
        (port,) = free_ports(1)
        variables = self.variables | {"ZENSKAR_WORKER_HEALTH_PORT": str(port)}
        self.workers[name] = zenskar(name, ("worker", "--roles", roles), self.folder, variables)
        self.worker_urls[name] = f"http://{HOST}:{port}"
        await self.start_worker(name)

    async def start_worker(self, name: str) -> None:
        """Start an added worker, also after a kill."""
        url = f"{self.worker_urls[name]}/health/live"
        await serve(self.workers[name], lambda: answers(url), _START_SECONDS)

    async def kill_worker(self, name: str) -> None:
        """Kill a worker with SIGKILL."""
        self.kills += 1
        await self.workers[name].kill()

    async def remove_worker(self, name: str) -> None:
        """Stop a worker as an operator does; it must end in order, with exit code 0."""
        assert await self.workers.pop(name).stop() == 0

    async def start_api(self) -> None:
        """Start the API, also after a kill."""
        await serve(self.api, lambda: answers(f"{self.api_url}/health/live"), _START_SECONDS)

    def died(self) -> list[str]:
        """Return the workers and APIs that ended without a request."""
        parts = (self.api, self.sandbox, *self.workers.values())
        return [f"{p.name} ended by itself: {p.tail()}" for p in parts if not p.alive]


@asynccontextmanager
async def open_topology(
    folder: Path,
    *,
    kafka: bool = True,
    workers: tuple[str, ...] = ROLES,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Topology]:
    """Start PostgreSQL, the brokers, a Stripe, one API and the workers of these roles."""
    async with AsyncExitStack() as stack:
        postgres, cluster = await asyncio.gather(
            stack.enter_async_context(open_server(folder)),
            stack.enter_async_context(open_cluster(folder) if kafka else nullcontext()),
        )
        api_port, sandbox_port = free_ports(2)
        api_url, sandbox_url = f"http://{HOST}:{api_port}", f"http://{HOST}:{sandbox_port}"
        chosen = environment(
            **_SETTINGS,
            ZENSKAR_DATABASE_URL=postgres.url,
            ZENSKAR_PORT=str(api_port),
            ZENSKAR_AUTH="off",
            STRIPE_API_BASE=sandbox_url,
        )
        if cluster is not None:
            chosen["ZENSKAR_KAFKA_BOOTSTRAP_SERVERS"] = cluster.bootstrap
            chosen["ZENSKAR_KAFKA_GROUP"] = f"lane-{uuid.uuid4().hex[:8]}"
            if cluster.given:
                await delete_topics(cluster.bootstrap)
        webhooks = ("--webhook", f"{api_url}/webhooks/stripe", "--secret", SECRET)
        topology = Topology(
            folder, postgres, cluster, chosen | dict(variables or {}),
            sandbox_url, sandbox("sandbox", folder, sandbox_port, *webhooks),
            api_url, zenskar("api", ("api",), folder, chosen | dict(variables or {})),
        )  # fmt: skip
        stack.push_async_callback(_stop, topology)
        await _start(topology, workers)
        yield topology


async def _start(topology: Topology, workers: tuple[str, ...]) -> None:
    ping = f"{topology.sandbox_url}/_sandbox/faults"
    await asyncio.gather(
        _migrate(topology), serve(topology.sandbox, lambda: answers(ping), _START_SECONDS)
    )
    names = [f"worker-{number}" for number in range(1, len(workers) + 1)]
    await asyncio.gather(topology.start_api(), *map(topology.add_worker, names, workers))


async def _migrate(topology: Topology) -> None:
    migration = zenskar("migrate", ("migrate",), topology.folder, topology.variables)
    migration.start()
    await until(lambda: _ended(migration), _START_SECONDS, "the migration")
    assert migration.returncode == 0, migration.tail()


async def _stop(topology: Topology) -> None:
    parts = (*topology.workers.values(), topology.api, topology.sandbox)
    await asyncio.gather(*(process.stop() for process in parts))


def zenskar(
    name: str, arguments: tuple[str, ...], folder: Path, variables: Mapping[str, str]
) -> Process:
    """Return a zenskar command as a process that has not started."""
    return Process(name, (*ZENSKAR, *arguments), folder, variables)


def sandbox(name: str, folder: Path, port: int, *options: str) -> Process:
    """Return a Stripe of an account of its own as a process that has not started."""
    command = (
        *(sys.executable, "-m", "zenskar_stripe.sandbox", "--port", str(port)),
        *("--api-key", API_KEY, "--retry-base", "0.3", *options),
    )
    return Process(name, command, folder, environment())


async def _ended(process: Process) -> bool:
    return process.returncode is not None


async def answers(url: str) -> bool:
    """Return whether a server answers."""
    try:
        timeout = aiohttp.ClientTimeout(total=2)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as response:
            return response.status < 500
    except (aiohttp.ClientError, TimeoutError):
        return False
