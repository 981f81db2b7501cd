"""zenskar as its own processes, as after an installation."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from aiohttp import ClientError, ClientSession

from benchmarks import events, peers
from tests.kafka.cluster import free_ports
from tests.kafka.processes import Process, serve

# To count reads the whole table, and what it costs counts as ours: some of the events are looked
# up first, and what still waits.
_SETTLED = """
    SELECT CASE
        WHEN (SELECT count(*) FROM sync_events WHERE external_event_id = ANY($3))
             < cardinality($3) THEN false
        WHEN EXISTS (SELECT FROM outbox WHERE topic = 'sync.' || $1) THEN false
        ELSE (SELECT count(*) FILTER (WHERE status IN ('succeeded', 'ignored')) >= $2
              AND count(*) FILTER (WHERE status NOT IN ('succeeded', 'ignored')) = 0
              FROM sync_events WHERE direction = $1) END
"""


@dataclass
class Product:
    """The processes of an installation, and their addresses."""

    folder: Path
    database: str
    checkout: Path | None = None
    """Another checkout whose programs run, None for this one."""
    port: int = 0
    api: Process | None = None
    workers: list[Process] = field(default_factory=list)
    _connection: asyncpg.Connection | None = None

    def pids(self) -> dict[str, list[int]]:
        """Return the processes by part."""
        return {
            "api": [self.api.pid] if self.api is not None else [],
            "worker": [worker.pid for worker in self.workers],
        }

    async def settled(self, direction: str, count: int, sample: Sequence[str] = ()) -> bool:
        """Return whether so many events are processed."""
        if self._connection is None:
            self._connection = await asyncpg.connect(self.database)
        return await settled(self._connection, direction, count, sample)

    async def close(self) -> None:
        """Close the database."""
        if self._connection is not None:
            await self._connection.close()


@asynccontextmanager
async def open_product(
    folder: Path,
    database: str,
    *,
    api: bool = True,
    workers: int = 1,
    checkout: Path | None = None,
    **settings: str,
) -> AsyncIterator[Product]:
    """Migrate the database and start an API and workers, of another checkout if one is given."""
    product = Product(folder, database, checkout)
    await asyncio.to_thread(_migrate, product)
    async with AsyncExitStack() as stack:
        if api:
            (product.port,) = free_ports(1)
            product.api = await _start(stack, product, "api", product.port, settings)
        for number in range(workers):
            await add_worker(stack, product, f"worker-{number}", settings)
        try:
            yield product
        finally:
            await product.close()


async def add_worker(
    stack: AsyncExitStack, product: Product, name: str, settings: Mapping[str, str]
) -> None:
    """Start another worker."""
    (port,) = free_ports(1)
    product.workers.append(await _start(stack, product, name, port, settings))


async def _start(
    stack: AsyncExitStack, product: Product, name: str, port: int, settings: Mapping[str, str]
) -> Process:
    role = name.partition("-")[0]
    process = Process(
        f"{name}-{port}",
        (_program(product), role),
        product.folder,
        _environment(product, port, settings),
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


def _migrate(product: Product) -> None:
    environment = _environment(product, 0, {})
    subprocess.run((_program(product), "migrate"), env=environment, check=True, capture_output=True)


def _program(product: Product) -> str:
    """Return the command of the installation, whose modules may have other names."""
    return str(Path(peers.product(product.checkout)).parent / "zenskar")


def _environment(product: Product, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "ZENSKAR_DATABASE_URL": product.database,
        "ZENSKAR_HOST": "127.0.0.1",
        "ZENSKAR_PORT": str(port),
        "ZENSKAR_WORKER_HEALTH_PORT": str(port),
        "ZENSKAR_AUTH": "off",
        "ZENSKAR_ALLOWED_HOSTS": "localhost",
        "ZENSKAR_LOG_LEVEL": "warning",
        "ZENSKAR_CONNECTIONS": "stripe=stripe",
        "STRIPE_API_KEY": events.API_KEY,
        "STRIPE_WEBHOOK_SECRET": events.SECRET,
        **settings,
    }


async def settled(
    connection: asyncpg.Connection, direction: str, count: int, sample: Sequence[str] = ()
) -> bool:
    """Return whether so many events are processed; a `sample` of the last saves a count."""
    return bool(await connection.fetchval(_SETTLED, direction, count, list(sample)))
