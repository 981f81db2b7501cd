"""Wire the parts that exist between the start and the stop of a sandbox."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .api import Api, Parts
from .catalog import Catalog
from .dashboard import Dashboard
from .events import EventLog
from .idempotency import IdempotencyKeys
from .ids import Ids
from .routes import Routes
from .search import SearchView

if TYPE_CHECKING:
    from zenskar.http.lookalike import LookAlike, Store

_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a sandbox."""

    api_key: str = "sk_test_zenskar_sandbox"
    seed: int = 0
    search_lag: float = 0.0
    idempotency_lifetime: float = _DAY


class Core:
    """The parts of a running sandbox that are Stripe's own."""

    def __init__(self, options: Options, server: LookAlike) -> None:
        running, clock = server.running, server.clock
        store = running.store
        self.ids = ids = Ids(_generator(store, options.seed))
        account = _account(store)
        self.events = EventLog(running.events, ids, clock)
        search = SearchView(clock, options.search_lag)
        self.catalog = Catalog(store, ids, clock, self.events, search)
        self.dashboard = Dashboard(self.catalog, store)
        self.keys = IdempotencyKeys(store, clock, options.idempotency_lifetime)
        parts = Parts(
            store=store,
            ids=ids,
            clock=clock,
            keys=self.keys,
            faults=running.faults,
            routes=Routes(account, self.catalog, self.events),
            background=running.background,
            log=running.requests,
            api_key=options.api_key,
        )
        self.api = Api(parts)

    def clear(self) -> None:
        """Remove customers, the list of events, and keys."""
        self.catalog.clear()
        self.events.clear()
        self.keys.clear()


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
