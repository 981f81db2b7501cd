"""Deliveries without success: still pending, or failed after their last attempt."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from zenskar.http.lookalike.record_store import Store

KIND = "delivery"


class DeliveryState(StrEnum):
    """The state of an outstanding delivery."""

    PENDING = "pending"
    FAILED = "failed"


class Outstanding:
    """The outstanding deliveries by event and endpoint; successful deliveries are not stored."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._states: dict[str, dict[str, DeliveryState]] = {}
        for _, record in store.load(KIND):
            states = self._states.setdefault(record["event"], {})
            states[record["endpoint"]] = DeliveryState(record["state"])

    def mark(self, event: str, endpoint: str, state: DeliveryState) -> None:
        """Mark a delivery as pending or failed."""
        self._states.setdefault(event, {})[endpoint] = state
        record = {"event": event, "endpoint": endpoint, "state": state.value}
        self._store.put(KIND, f"{event}/{endpoint}", record)

    def done(self, event: str, endpoint: str) -> None:
        """Remove a delivery that succeeded or is no longer required."""
        states = self._states.get(event, {})
        if states.pop(endpoint, None) is not None:
            self._store.delete(KIND, f"{event}/{endpoint}")
        if not states:
            self._states.pop(event, None)

    def forget_endpoint(self, endpoint: str) -> None:
        """Remove the deliveries to a removed endpoint."""
        for event in list(self._states):
            self.done(event, endpoint)

    def count(self, event: str) -> int:
        """Return the number of endpoints that have not acknowledged an event."""
        return len(self._states.get(event, ()))

    def events(self) -> Collection[str]:
        """Return the events that an endpoint has not acknowledged."""
        return self._states.keys()

    def pending(self) -> Iterator[tuple[str, str]]:
        """Return event and endpoint of every pending delivery."""
        for event, states in list(self._states.items()):
            for endpoint, state in list(states.items()):
                if state is DeliveryState.PENDING:
                    yield event, endpoint

    def clear(self) -> None:
        """Remove every delivery."""
        self._states.clear()
        self._store.clear(KIND)
