"""Deliveries that did not succeed: still pending, or given up after their last attempt."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .store import Store

KIND = "delivery"


class DeliveryState(StrEnum):
    """Why a delivery is outstanding."""

    PENDING = "pending"
    FAILED = "failed"


class Outstanding:
    """By event and endpoint; what succeeded is not kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._states: dict[str, dict[str, DeliveryState]] = {}
        for _, record in store.load(KIND):
            states = self._states.setdefault(record["event"], {})
            states[record["endpoint"]] = DeliveryState(record["state"])

    def mark(self, event: str, endpoint: str, state: DeliveryState) -> None:
        """The delivery is pending or has failed."""
        self._states.setdefault(event, {})[endpoint] = state
        record = {"event": event, "endpoint": endpoint, "state": state.value}
        self._store.put(KIND, f"{event}/{endpoint}", record)

    def done(self, event: str, endpoint: str) -> None:
        """The delivery succeeded or is no longer wanted."""
        states = self._states.get(event, {})
        if states.pop(endpoint, None) is not None:
            self._store.delete(KIND, f"{event}/{endpoint}")
        if not states:
            self._states.pop(event, None)

    def forget_endpoint(self, endpoint: str) -> None:
        """The endpoint was removed."""
        for event in list(self._states):
            self.done(event, endpoint)

    def count(self, event: str) -> int:
        """How many endpoints have not yet acknowledged the event."""
        return len(self._states.get(event, ()))

    def events(self) -> Collection[str]:
        """The events that some endpoint has not acknowledged."""
        return self._states.keys()

    def pending(self) -> Iterator[tuple[str, str]]:
        """Event and endpoint of every delivery that is still to be tried."""
        for event, states in list(self._states.items()):
            for endpoint, state in list(states.items()):
                if state is DeliveryState.PENDING:
                    yield event, endpoint

    def clear(self) -> None:
        """Forgets everything."""
        self._states.clear()
        self._store.clear(KIND)
