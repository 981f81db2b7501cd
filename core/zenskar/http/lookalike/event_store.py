"""The events of a look-alike, and their outstanding deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenskar.http.lookalike.outstanding import DeliveryState, Outstanding

if TYPE_CHECKING:
    from collections.abc import Callable

    from zenskar.http.lookalike.endpoints import Endpoints
    from zenskar.http.lookalike.record_store import Record, Store

KIND = "event"


class EventStore:
    """The events by id, oldest first; each has an `id` and a `type`."""

    def __init__(self, store: Store, endpoints: Endpoints) -> None:
        self._store = store
        self._endpoints = endpoints
        self.by_id: dict[str, Record] = dict(store.load(KIND))
        self.outstanding = Outstanding(store)
        self.published: Callable[[Record], None] = lambda _: None

    def add(self, event: Record) -> None:
        """Store an event and start its deliveries."""
        self.by_id[event["id"]] = event
        self._store.put(KIND, event["id"], event)
        for endpoint in self._endpoints.wanting(event["type"]):
            self.outstanding.mark(event["id"], endpoint.id, DeliveryState.PENDING)
        self.published(event)

    def wanted(self, kind: str) -> int:
        """Return the number of endpoints that receive events of a type."""
        return len(self._endpoints.wanting(kind))

    def clear(self) -> None:
        """Remove every event and delivery."""
        self.by_id.clear()
        self._store.clear(KIND)
        self.outstanding.clear()
