"""A world: a database, a Stripe sandbox, the API's services and some workers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.simulation.beside import OrgBeside
from tests.simulation.clock import Clock, WrongClock
from tests.simulation.memory import Loss
from tests.simulation.receiver import at_time, receiver
from tests.simulation.workers import Worker
from zenskar.catalog.service import CustomerService
from zenskar.db.driver.engine import in_transaction
from zenskar.errors import Unavailable
from zenskar.http.lookalike import LookAlike
from zenskar.plugins.discovery import Plugin, discover
from zenskar.runtime import Runtime, open_runtime
from zenskar.settings import Settings, load
from zenskar_stripe.sandbox import StripeSandbox

SECRET = "whsec_simulation"
WORKERS = 2
_POLL_SECONDS = 0.05
_REQUEST_SECONDS = 10
"""Longer than any request of a story is under way."""
PATIENCE_SECONDS = 30.0
"""The time without any progress after which a world counts as stuck."""
_QUESTIONS = 10
T = TypeVar("T")


@dataclass
class World:
    """The parts that a simulation changes and checks."""

    clock: Clock
    ours: WrongClock
    theirs: float
    sandbox: StripeSandbox
    runtime: Runtime
    settings: Settings
    environment: dict[str, str]
    plugins: Mapping[str, Plugin]
    webhook_url: str = ""
    """The address of the receiver; the name of a connection follows."""
    others: list[LookAlike] = field(default_factory=list)
    """The other external systems."""
    org: OrgBeside | None = None
    workers: list[Worker] = field(default_factory=list)
    kills: int = 0
    fatal: set[str] = field(default_factory=set)
    """Failpoints at which the API's process dies at the next pass."""
    paused: bool = False
    """Whether an operator has paused the connection, or is about to pause it."""
    operator: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by an operator who pauses or resumes the connection."""
    loss: Loss | None = None
    """The present loss of webhooks."""

    @property
    def side_outside(self) -> str:
        """The side of a value that is written outside now."""
        return "unheard" if self.loss is Loss.UNLISTED else "external"

    async def replace_killed(self) -> None:
        """Start a new worker for each killed worker."""
        for number, worker in enumerate(self.workers):
            if await worker.killed():
                self.kills += 1
                self.workers[number] = await self.start_worker()

    async def start_worker(self) -> Worker:
        worker = Worker(self.settings, self.environment, self.plugins, self.clock, self.ours)
        await worker.start()
        return worker

    def dies(self, point: str) -> bool:
        """Whether the API's process dies here; another process replaces it at once."""
        if point not in self.fatal:
            return False
        self.fatal.discard(point)
        self.kills += 1
        return True

    def customers(self) -> CustomerService:
        """The API's service; a process that dies after its commit sends no wake-up."""
        if not self.dies("customer.committed"):
            return self.runtime.customers
        return CustomerService(self.runtime.engine, self.runtime.router, lambda _topic: None)

    async def settle(self, patience: float) -> None:
        """Wait for rest, without further faults.

        Raises TimeoutError when nothing changes for this long, or after ten times as long. The
        clock advances once, so that no search waits for a request without an answer.
        """
        for system in (self.sandbox, *self.others):
            system.faults.clear()
        began = changed = time.monotonic()
        progress, aged = await self._progress(), False
        while not await self._at_rest():
            await asyncio.sleep(_POLL_SECONDS)
            now, before = time.monotonic(), progress
            if not aged and now - began > _REQUEST_SECONDS:
                aged = True
                await self._ask(lambda c: c.execute(text(_AGE_OLD)))
                await self._ask(lambda c: c.execute(text(_DUE)))
            progress = await self._progress()
            changed = now if progress != before else changed
            if now - changed > patience or now - began > 10 * patience:
                raise TimeoutError

    async def outlive_requests(self, patience: float) -> None:
        """Advance the clock until no request without an answer can arrive."""
        began = time.monotonic()
        while await self.scalar(OPEN):
            if time.monotonic() - began > patience:
                return
            await self._ask(lambda c: c.execute(text(_AGE)))
            await asyncio.sleep(_POLL_SECONDS)
            await self.settle(patience)
        # The fetch that ended the last push may be in progress.
        await self.settle(patience)

    async def quiet(self, patience: float) -> bool:
        """Wait a while for rest, with the faults that are still due; a paused world has none."""
        if self.paused:
            return False
        began = time.monotonic()
        while not (resting := await self._at_rest()) and time.monotonic() - began < patience:
            await asyncio.sleep(_POLL_SECONDS)
        return resting

    async def _progress(self) -> tuple[Any, ...]:
        calls = len(self.sandbox.requests), len(self.sandbox.deliveries)
        return *calls, await self.scalar("SELECT max(id) FROM sync_event_history")

    async def _at_rest(self) -> bool:
        self.clock.tick(2 * _POLL_SECONDS)
        await self.replace_killed()
        if await self._works():
            return False
        try:
            for system in (self.sandbox, *self.others):
                await system.settle(1)
        except TimeoutError:
            return False
        return not await self._works()

    async def _works(self) -> bool:
        """Whether a message waits or is in progress.

        A worker with an expired claim may still apply an answer though no message is left.
        """
        if any(worker.busy for worker in self.workers):
            return True
        unfinished = await self.scalar(_UNFINISHED)
        return bool(unfinished) or any(worker.busy for worker in self.workers)

    async def unfinished(self) -> list[str]:
        """Return the unfinished work as text."""
        events = await self.rows(
            "SELECT id, direction, event_type, status, error_message FROM sync_events"
            " WHERE status IN ('pending', 'processing', 'retrying')"
        )
        waiting = await self.rows(
            "SELECT topic, key, available_at - now() AS due, claimed_until - now() AS claim"
            " FROM outbox"
        )
        busy = [f"worker {n} is busy" for n, one in enumerate(self.workers) if one.busy]
        return [
            "not at rest",
            *busy,
            *map(str, events + waiting),
            *map(str, self.sandbox.deliveries),
        ]

    async def trace(self) -> list[str]:
        """Return every call, every push and the whole history as text."""
        calls = [
            f"{call.method} {call.path} key {call.idempotency_key} fault {call.fault}"
            f" -> {call.status}{' replayed' if call.replayed else ''}"
            for call in self.sandbox.requests
        ]
        pushes = await self.rows(
            "SELECT id, kind, state, revision, changes FROM push_intents ORDER BY created_at"
        )
        history = await self.rows(
            "SELECT h.at, e.direction, e.event_type, e.external_id, h.status, h.detail"
            " FROM sync_event_history AS h JOIN sync_events AS e ON e.id = h.event_id"
            " ORDER BY h.at, h.id"
        )
        return [
            *calls,
            *(" ".join(map(str, row.values())) for row in pushes),
            *(" ".join(map(str, row.values())) for row in history),
        ]

    async def scalar(self, query: str, **values: Any) -> Any:
        return await self._ask(lambda c: c.scalar(text(query), values))

    async def rows(self, query: str) -> list[dict[str, Any]]:
        async def read(db: AsyncConnection) -> list[dict[str, Any]]:
            return [dict(row) for row in (await db.execute(text(query))).mappings()]

        return await self._ask(read)

    async def _ask(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Query the database; on a busy machine, repeatedly."""
        for _ in range(_QUESTIONS - 1):
            try:
                return await in_transaction(self.runtime.engine, question)
            except Unavailable:
                await asyncio.sleep(_POLL_SECONDS)
        return await in_transaction(self.runtime.engine, question)

    async def out_of_sync(self) -> list[str]:
        """Return the living records with a connection that is not in sync."""
        rows = await self.rows(
            "SELECT CAST(id AS text) AS id FROM customers WHERE deleted_at IS NULL"
        )
        views = [await self.runtime.customers.get(row["id"]) for row in rows]
        return [view["id"] for view in views if not all(s["in_sync"] for s in view["external"])]

    async def history(self) -> str:
        """The whole history as one text."""
        rows = await self.rows("SELECT detail FROM sync_event_history WHERE detail IS NOT NULL")
        return "\n".join(json.dumps(json.loads(row["detail"])) for row in rows)


OPEN = "SELECT count(*) FROM push_intents WHERE state IN ('sent', 'unknown')"
_AGE = """
    UPDATE push_intents SET created_at = created_at - interval '1 hour',
                            resent_at = resent_at - interval '1 hour',
                            lease_until = lease_until - interval '1 hour'
    WHERE state IN ('sent', 'unknown')
"""
_AGE_OLD = (
    f"{_AGE} AND COALESCE(resent_at, created_at) < now() - interval '{_REQUEST_SECONDS} seconds'"
)
_DUE = "UPDATE outbox SET available_at = now() WHERE claimed_until IS NULL AND NOT parked"
_UNFINISHED = """
    SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM sync_events
            WHERE status IN ('pending', 'processing', 'retrying'))
"""


@asynccontextmanager
async def open_world(
    database_url: str,
    seed: int,
    *,
    plugins: Mapping[str, Plugin] | None = None,
    workers: int = WORKERS,
    ours: float = 0.0,
    theirs: float = 0.0,
    clock: Clock | None = None,
    others: Mapping[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """Open a world with running workers; `others` are the settings of more connections."""
    clock, plugins = clock or Clock(), discover() if plugins is None else plugins
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            StripeSandbox(seed=seed, clock=clock, webhook_retry_base=0.01, webhook_max_attempts=50)
        )
        environment = {**_environment(sandbox), **(others or {})}
        loaded = load({}, database_url=database_url, **(_SETTINGS | settings))
        runtime = await stack.enter_async_context(
            open_runtime(loaded, environment, plugins=plugins)
        )
        wrong = WrongClock(clock, ours)
        runtime = at_time(runtime, clock, wrong)
        world = World(clock, wrong, theirs, sandbox, runtime, loaded, environment, plugins)
        sandbox.shift_clock(theirs)
        world.webhook_url = await stack.enter_async_context(receiver(world))
        sandbox.add_webhook_endpoint(f"{world.webhook_url}stripe", SECRET)
        for _ in range(workers):
            world.workers.append(await world.start_worker())
        try:
            yield world
        finally:
            await asyncio.gather(*(worker.stop() for worker in world.workers))


_SETTINGS: Mapping[str, Any] = {
    "database_pool_size": 3,
    "poll_seconds": 0.5,
    "probe_seconds": 0.2,
    "sweep_seconds": 0.5,
    "request_timeout_seconds": 0.4,
    "intent_lease_seconds": 0.8,
    "claim_lease_seconds": 0.8,
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
