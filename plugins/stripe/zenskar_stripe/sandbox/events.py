"""The log of events: https://docs.stripe.com/api/events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import invalid, no_such
from .listing import Listing
from .outstanding import DeliveryState, Outstanding
from .timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .endpoints import Endpoints
    from .ids import Ids
    from .store import Record, Store

API_VERSION = "2026-10-28.endive"
KIND = "event"
# https://docs.stripe.com/api/events/list: events go back up to 30 days.
RETENTION = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that caused an event; a dashboard edit has none."""

    request_id: str | None = None
    idempotency_key: str | None = None


DASHBOARD = Origin()


class EventLog:
    """Stores events, starts their deliveries and lists events."""

    def __init__(
        self, store: Store, ids: Ids, clock: Callable[[], float], endpoints: Endpoints
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._endpoints = endpoints
        self._events: dict[str, Record] = dict(store.load(KIND))
        self._listing = Listing("event", "/v1/events", Timeline(), self._events)
        for identifier, event in self._events.items():
            self._listing.timeline.add(identifier, event["created"])
        self.outstanding = Outstanding(store)
        self.published: Callable[[Record], None] = lambda _: None

    def emit(self, kind: str, origin: Origin, data: Record) -> None:
        """Append an event and start its deliveries."""
        event = self._build(kind, origin, data)
        self._events[event["id"]] = event
        self._listing.timeline.add(event["id"], event["created"])
        self._store.put(KIND, event["id"], event)
        for endpoint in self._endpoints.wanting(kind):
            self.outstanding.mark(event["id"], endpoint.id, DeliveryState.PENDING)
        self.published(event)

    def get(self, identifier: str) -> Record:
        """Return an event as it was sent."""
        return self._events[identifier]

    def retrieve(self, identifier: str) -> Record:
        """Return an event as the API shows it. Raises `ApiError` (404) without one."""
        event = self._events.get(identifier)
        if event is None or event["created"] < self._oldest():
            raise no_such("event", identifier)
        return self._shown(event)

    def list(self, params: Mapping[str, Any]) -> Record:
        """Return a page of events, newest first."""
        wanted = _type_filter(params.get("type"), params.get("types"))
        outstanding, success = self.outstanding.events(), params.get("delivery_success")
        among, oldest = outstanding if success is False else None, self._oldest()

        def keep(event: Record) -> bool:
            undelivered = event["id"] in outstanding
            return (
                event["created"] >= oldest
                and wanted(event["type"])
                and not (success and undelivered)
            )

        page = self._listing.page(params, keep, among)
        return {**page, "data": [self._shown(event) for event in page["data"]]}

    def clear(self) -> None:
        """Remove every event and delivery."""
        self._events.clear()
        self._listing.timeline.clear()
        self._store.clear(KIND)
        self.outstanding.clear()

    def _build(self, kind: str, origin: Origin, data: Record) -> Record:
        return {
            "id": self._ids.event(),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(self._clock()),
            "data": data,
            "livemode": False,
            "pending_webhooks": len(self._endpoints.wanting(kind)),
            "request": {"id": origin.request_id, "idempotency_key": origin.idempotency_key},
            "type": kind,
        }

    def _oldest(self) -> float:
        return self._clock() - RETENTION

    def _shown(self, event: Record) -> Record:
        return {**event, "pending_webhooks": self.outstanding.count(event["id"])}


def _type_filter(kind: str | None, kinds: list[str] | None) -> Callable[[str], bool]:
    if kind and kinds:
        raise invalid("You may pass either `type` or `types`, but not both.", "types")
    if kind and kind.endswith("*"):
        return lambda actual: actual.startswith(kind[:-1])
    accepted = {kind} if kind else set(kinds or ())
    return lambda actual: not accepted or actual in accepted
