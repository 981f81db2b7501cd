"""zenskar as its own processes, as whoever installed it runs it."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from aiohttp import ClientError, ClientSession

from benchmarks import events, peers
from tests.kafka.cluster import free_ports
from tests.kafka.processes import Process, serve
from zenskar.db import migrate
from zenskar.db.engine import create_engine

# To count costs far more than to see that something waits, and what it costs counts as ours.
_SETTLED = """
    SELECT CASE WHEN EXISTS (SELECT FROM outbox WHERE topic = 'sync.' || $1) THEN false
        ELSE (SELECT count(*) FILTER (WHERE status IN ('succeeded', 'ignored')) >= $2
              AND count(*) FILTER (WHERE status NOT IN ('succeeded', 'ignored')) = 0
              FROM sync_events WHERE direction = $1) END
"""


@dataclass
class Product:
    """The processes of one installation, and where they are."""

    folder: Path
    database: str
    port: int = 0
    api: Process | None = None
    workers: list[Process] = field(default_factory=list)
    connection: asyncpg.Connection | None = None

    def pids(self) -> dict[str, list[int]]:
        """Return the processes by part."""
        return {
            "api": [self.api.pid] if self.api is not None else [],
            "worker": [worker.pid for worker in self.workers],
        }

    async def query(self, statement: str, *values: object) -> object:
        """Ask the database for one value."""
        if self.connection is None:
            self.connection = await asyncpg.connect(self.database)
        return await self.connection.fetchval(statement, *values)


@asynccontextmanager
async def open_product(
    folder: Path,
    database: str,
    *,
    api: bool = True,
    workers: int = 1,
    **settings: str,
) -> AsyncIterator[Product]:
    """Migrate the database and start an API and workers."""
    engine = create_engine(database, pool_size=2)
    await migrate.upgrade(engine)
    await engine.dispose()
    product = Product(folder, database)
    async with AsyncExitStack() as stack:
        if api:
            (product.port,) = free_ports(1)
            product.api = await _start(stack, product, "api", product.port, settings)
        for number in range(workers):
            await add_worker(stack, product, f"worker-{number}", settings)
        try:
            yield product
        finally:
            if product.connection is not None:
                await product.connection.close()


async def add_worker(
    stack: AsyncExitStack, product: Product, name: str, settings: Mapping[str, str]
) -> None:
    """Start one more worker."""
    (port,) = free_ports(1)
    product.workers.append(await _start(stack, product, name, port, settings))


async def _start(
    stack: AsyncExitStack, product: Product, name: str, port: int, settings: Mapping[str, str]
) -> Process:
    role = name.partition("-")[0]
    command = (peers.product(), "-m", "zenskar.cli.main", role)
    process = Process(
        f"{name}-{port}", command, product.folder, _environment(product, port, settings)
    )
    stack.push_async_callback(process.stop)

    async def ready() -> bool:
        try:
            async with (
                ClientSession() as client,
                client.get(f"http://127.0.0.1:{port}/health/live") as response,
            ):
                return response.status == 200
        except ClientError:
            return False

    await serve(process, ready, 60)
    return process


def _environment(product: Product, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "ZENSKAR_DATABASE_URL": product.database,
        "ZENSKAR_HOST": "127.0.0.1",
        "ZENSKAR_PORT": str(port),
        "ZENSKAR_WORKER_HEALTH_PORT": str(port),
        "ZENSKAR_AUTH": "off",
        "ZENSKAR_LOG_LEVEL": "warning",
        "ZENSKAR_CONNECTIONS": "stripe=stripe",
        "STRIPE_API_KEY": events.API_KEY,
        "STRIPE_WEBHOOK_SECRET": events.SECRET,
        **settings,
    }


async def settled(product: Product, direction: str, count: int) -> bool:
    """Tell whether as many events have been worked off."""
    return bool(await product.query(_SETTLED, direction, count))
