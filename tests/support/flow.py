"""A whole runtime with fake external systems, for tests that follow a customer both ways."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from tests.support.fake import FakeSystem, fake_class
from tests.support.wait import DEADLINE_SECONDS, until
from zenskar.plugins.discovery import Plugin
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import load
from zenskar.telemetry.tracing import Tracing
from zenskar.worker.service import ROLES

__all__ = ["DEADLINE_SECONDS", "Flow", "open_flow", "running_worker"]


@dataclass
class Flow:
    """A runtime whose worker runs, and the systems at its connections by name."""

    runtime: Runtime
    systems: Mapping[str, FakeSystem]

    async def create(self, **document: Any) -> str:
        body = {"name": "Ada", "email": "ada@example.com", **document}
        result = await self.runtime.customers.create(body, correlation_id="test")
        return str(result.view["id"])

    async def deliver(self, source: str = "fake") -> None:
        """Pass every waiting webhook to the receiver, in order."""
        waiting = self.systems[source].webhooks
        while waiting:
            await self.runtime.ingress.accept(source, waiting.pop(0), "test")
        await self.settle()

    async def settle(self) -> None:
        """Wait until no work is left."""
        await until(
            lambda: self.scalar(
                "SELECT NOT EXISTS (SELECT FROM outbox) AND NOT EXISTS (SELECT FROM sync_events"
                " WHERE status IN ('pending', 'processing', 'retrying'))"
            )
        )

    async def scalar(self, query: str, **values: Any) -> Any:
        async with self.runtime.engine.connect() as db:
            return await db.scalar(text(query), values)

    async def until_scalar(self, query: str, **values: Any) -> None:
        """Wait until a query returns a true value."""
        await until(lambda: self.scalar(query, **values))

    async def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        async with self.runtime.engine.connect() as db:
            return [dict(row) for row in (await db.execute(text(query), values)).mappings()]

    async def record(self, record_id: str) -> dict[str, Any]:
        (row,) = await self.rows("SELECT * FROM customers WHERE id = :id", id=record_id)
        return row

    async def mapping(self, record_id: str, source: str = "fake") -> dict[str, Any]:
        (row,) = await self.rows(
            "SELECT * FROM external_mappings WHERE entity_id = :id AND source_system = :source",
            id=record_id,
            source=source,
        )
        return row

    async def events(self, direction: str) -> list[dict[str, Any]]:
        return await self.rows(
            "SELECT * FROM sync_events WHERE direction = :direction ORDER BY id",
            direction=direction,
        )


@asynccontextmanager
async def open_flow(
    database_url: str,
    *sources: str,
    working: bool = True,
    environment: Mapping[str, str] | None = None,
    extra: Mapping[str, Plugin] | None = None,
    systems: Mapping[str, FakeSystem] | None = None,
    tracing: Tracing | None = None,
    **settings: Any,
) -> AsyncIterator[Flow]:
    """Open a runtime with a fake system at each connection; `fake` alone by default.

    `extra` are more plugins, each with a connection of its name; `systems` are existing fake
    systems to use. An `intent_lease_seconds` may end before a call, as for a frozen process.
    """
    systems = systems or {name: FakeSystem() for name in sources or ("fake",)}
    plugins = {
        name: Plugin(name, f"test-{name}", "1", fake_class(system))
        for name, system in systems.items()
    }
    defaults = {
        "database_url": database_url,
        "retry_base_seconds": 0.01,
        "retry_max_seconds": 0.05,
        "poll_seconds": 0.2,
    }
    frozen = {name: settings.pop(name) for name in ("intent_lease_seconds",) if name in settings}
    loaded = load({}, **(defaults | settings)).model_copy(update=frozen)
    async with open_runtime(
        loaded, environment or {}, plugins=plugins | dict(extra or {}), tracing=tracing
    ) as runtime:
        flow = Flow(runtime, systems)
        if not working:
            yield flow
            return
        async with running_worker(runtime):
            yield flow


@asynccontextmanager
async def running_worker(runtime: Runtime, *roles: str) -> AsyncIterator[None]:
    """Run a worker of this runtime in the block, with these roles or all."""
    stopping = asyncio.Event()
    worker = asyncio.create_task(runtime.worker(roles or ROLES).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await worker
