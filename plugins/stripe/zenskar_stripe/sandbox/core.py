"""Wire the parts that exist between the start and the stop of a sandbox."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .api import Api, Parts
from .background import Background
from .catalog import Catalog
from .clock import ShiftedClock
from .dashboard import Dashboard
from .deliveries import Deliveries, RetryPolicy
from .endpoints import Endpoints
from .events import EventLog
from .faults import Faults
from .idempotency import IdempotencyKeys
from .ids import Ids
from .log import Log, LoggedCall
from .routes import Routes
from .search import SearchView
from .store import MemoryStore, SqliteStore, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a sandbox."""

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str = "sk_test_zenskar_sandbox"
    store_path: Path | None = None
    seed: int = 0
    clock: Callable[[], float] = time.time
    webhook_retry_base: float = 1.0
    webhook_max_attempts: int = 10
    webhook_timeout: float = 10.0
    search_lag: float = 0.0
    idempotency_lifetime: float = _DAY


class Core:
    """The parts of a running sandbox."""

    def __init__(self, options: Options) -> None:
        self.clock = clock = ShiftedClock(options.clock)
        self.store: Store = MemoryStore()
        if options.store_path is not None:
            self.store = SqliteStore(options.store_path)
        ids = Ids(_generator(self.store, options.seed))
        self.background = Background()
        self.faults = Faults()
        self.account = _account(self.store)
        self.endpoints = Endpoints(self.store, ids)
        self.events = EventLog(self.store, ids, clock, self.endpoints)
        search = SearchView(clock, options.search_lag)
        self.catalog = Catalog(self.store, ids, clock, self.events, search)
        self.dashboard = Dashboard(self.catalog, self.store)
        self.keys = IdempotencyKeys(self.store, clock, options.idempotency_lifetime)
        self.requests: Log[LoggedCall] = Log()
        self.deliveries = self._deliveries(options)
        self.api = self._api(ids, options)

    async def settle(self, timeout: float) -> None:  # noqa: ASYNC109 - part of the public API
        """Wait until no delivery or delayed effect is pending. Raises `TimeoutError`."""
        self.deliveries.flush()
        try:
            await self.background.settle(timeout)
        except TimeoutError:
            count = len(self.background)
            message = f"{count} deliveries or delayed effects are still pending"
            raise TimeoutError(message) from None

    async def clear(self) -> None:
        """Remove customers, events, keys, deliveries and logs."""
        await self.background.cancel()
        with self.store.transaction():
            self.catalog.clear()
            self.events.clear()
            self.keys.clear()
        self.requests.clear()
        self.deliveries.clear()

    def remove_endpoint(self, identifier: str) -> bool:
        """Remove a webhook endpoint and its pending deliveries; return whether it existed."""
        self.deliveries.forget(identifier)
        return self.endpoints.remove(identifier)

    async def close(self) -> None:
        """Cancel the running tasks; pending deliveries stay in the store."""
        await self.background.cancel()
        await self.deliveries.close()
        self.store.close()

    def _deliveries(self, options: Options) -> Deliveries:
        policy = RetryPolicy(
            base=options.webhook_retry_base,
            attempts=options.webhook_max_attempts,
            timeout=options.webhook_timeout,
        )
        deliveries = Deliveries(
            self.events, self.endpoints, self.faults, self.background, self.clock, policy
        )
        self.events.published = deliveries.publish
        return deliveries

    def _api(self, ids: Ids, options: Options) -> Api:
        parts = Parts(
            store=self.store,
            ids=ids,
            clock=self.clock,
            keys=self.keys,
            faults=self.faults,
            routes=Routes(self.account, self.catalog, self.events),
            background=self.background,
            log=self.requests,
            api_key=options.api_key,
        )
        return Api(parts)


def _account(store: Store) -> str:
    """Return the id of the sandbox's account, which is stored with the customers."""
    known = next((record["id"] for _, record in store.load("account")), None)
    if known is None:
        # Independent of the seed: two sandboxes with one seed are still two accounts.
        known = Ids(random.SystemRandom()).account()
        store.put("account", known, {"id": known})
    return str(known)


def _generator(store: Store, seed: int) -> random.Random:
    # A restart must draw other ids, else they would repeat the stored ids.
    boots = next((record["count"] for _, record in store.load("boots")), 0)
    store.put("boots", "boots", {"count": boots + 1})
    return random.Random(f"{seed}/{boots}")  # noqa: S311 - ids of a test double
