"""One world: a database, a Stripe sandbox, the API's services and some workers."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import text

from tests.simulation.clock import Clock
from tests.simulation.workers import Worker
from tests.support.wait import until
from zenskar import WebhookRequest
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import Settings, load
from zenskar_stripe.sandbox import StripeSandbox

SECRET = "whsec_simulation"
WORKERS = 2


@dataclass
class World:
    """What a simulation acts on and looks at."""

    clock: Clock
    sandbox: StripeSandbox
    runtime: Runtime
    settings: Settings
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)
    kills: int = 0

    async def replace_killed(self) -> None:
        """Start a new worker for each one that was killed."""
        for number, worker in enumerate(self.workers):
            if await worker.killed():
                self.kills += 1
                self.workers[number] = await self.start_worker()

    async def start_worker(self) -> Worker:
        worker = Worker(self.settings, self.environment, self.clock)
        await worker.start()
        return worker

    async def settle(self, seconds: float) -> None:
        """Let everything come to rest, with no more faults."""
        self.sandbox.faults.clear()
        await until(self._at_rest, seconds)

    async def _at_rest(self) -> bool:
        self.clock.tick(0.01)
        await self.replace_killed()
        if await self.scalar(_UNFINISHED):
            return False
        try:
            await self.sandbox.settle(1)
        except TimeoutError:
            return False
        return not await self.scalar(_UNFINISHED)

    async def unfinished(self) -> list[str]:
        """Return what is not at rest, for people."""
        events = await self.rows(
            "SELECT id, direction, event_type, status, error_message FROM sync_events"
            " WHERE status IN ('pending', 'processing', 'retrying')"
        )
        waiting = await self.rows(
            "SELECT topic, key, available_at - now() AS due, claimed_until - now() AS claim"
            " FROM outbox"
        )
        return ["not at rest", *map(str, events + waiting), *map(str, self.sandbox.deliveries)]

    async def scalar(self, query: str, **values: Any) -> Any:
        async with self.runtime.engine.connect() as connection:
            return await connection.scalar(text(query), values)

    async def rows(self, query: str) -> list[dict[str, Any]]:
        async with self.runtime.engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(text(query))).mappings()]

    async def history(self) -> str:
        """Everything that the history says, as one text."""
        rows = await self.rows("SELECT detail FROM sync_event_history WHERE detail IS NOT NULL")
        return "\n".join(json.dumps(json.loads(row["detail"])) for row in rows)


_UNFINISHED = """
    SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM sync_events
            WHERE status IN ('pending', 'processing', 'retrying'))
"""


@asynccontextmanager
async def open_world(
    database_url: str, seed: int, *, workers: int = WORKERS, **settings: Any
) -> AsyncIterator[World]:
    """Open a world with its workers at work."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            StripeSandbox(seed=seed, clock=clock, webhook_retry_base=0.01, webhook_max_attempts=50)
        )
        environment = _environment(sandbox)
        loaded = load({}, database_url=database_url, **(_SETTINGS | settings))
        runtime = await stack.enter_async_context(open_runtime(loaded, environment))
        url = await stack.enter_async_context(_receiver(runtime, clock))
        sandbox.add_webhook_endpoint(url, SECRET)
        world = World(clock, sandbox, runtime, loaded, environment)
        for _ in range(workers):
            world.workers.append(await world.start_worker())
        try:
            yield world
        finally:
            await asyncio.gather(*(worker.stop() for worker in world.workers))


_SETTINGS: Mapping[str, Any] = {
    "database_pool_size": 3,
    "poll_seconds": 0.1,
    "request_timeout_seconds": 0.4,
    "intent_lease_seconds": 0.6,
    "claim_lease_seconds": 0.6,
    "retry_base_seconds": 0.02,
    "retry_max_seconds": 0.1,
    "retry_max_attempts": 100,
    "breaker_failures": 1000,
    "shutdown_grace_seconds": 2.0,
    "worker_concurrency": 4,
}


def _environment(sandbox: StripeSandbox) -> dict[str, str]:
    return {
        "STRIPE_API_KEY": sandbox.api_key,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": sandbox.base_url,
        "STRIPE_RATE_LIMIT": "0",
    }


@asynccontextmanager
async def _receiver(runtime: Runtime, clock: Clock) -> AsyncIterator[str]:
    async def receive(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        webhook = WebhookRequest(headers, await request.read(), clock())
        await runtime.ingress.accept("stripe", webhook, "simulation")
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))
