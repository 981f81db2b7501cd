"""The parts of a look-alike between its start and its stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zenskar.http.lookalike.background import Background
from zenskar.http.lookalike.call_log import Log, LoggedCall
from zenskar.http.lookalike.deliveries import Deliveries, WebhookSender
from zenskar.http.lookalike.endpoints import Endpoints
from zenskar.http.lookalike.event_store import EventStore
from zenskar.http.lookalike.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from zenskar.http.lookalike.record_store import Store
    from zenskar.http.lookalike.shifted_clock import ShiftedClock


@dataclass(frozen=True, slots=True)
class WebhookForm:
    """The requests of webhooks, the ids of endpoints, and the known types, None for any."""

    sender: WebhookSender
    new_id: Callable[[], str]
    event_types: Collection[str] | None


class Running:
    """The store, the faults, the webhooks and the logs of a running look-alike."""

    def __init__(self, store: Store, clock: ShiftedClock, form: WebhookForm) -> None:
        self.store = store
        self.clock = clock
        self.background = Background()
        self.faults = Faults()
        self.requests: Log[LoggedCall] = Log()
        self.endpoints = Endpoints(store, form.new_id, form.event_types)
        self.events = EventStore(store, self.endpoints)
        self.deliveries = Deliveries(
            self.events, self.endpoints, self.faults, self.background, clock, form.sender
        )
        self.events.published = self.deliveries.publish

    async def settle(self, timeout: float) -> None:  # noqa: ASYNC109 - part of the public API
        """Wait until no delivery or delayed effect is pending. Raises `TimeoutError`."""
        self.deliveries.flush()
        try:
            await self.background.settle(timeout)
        except TimeoutError:
            count = len(self.background)
            message = f"{count} deliveries or delayed effects are still pending"
            raise TimeoutError(message) from None

    def clear(self) -> None:
        """Remove events, deliveries and logs; the caller has cancelled the tasks."""
        self.events.clear()
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
