"""The log of events: https://docs.stripe.com/api/events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import invalid, no_such
from .listing import Listing
from .timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zenskar.http.lookalike import EventStore, Record

    from .ids import Ids

API_VERSION = "2026-10-28.endive"
EVENT_TYPES = frozenset({"customer.created", "customer.updated", "customer.deleted"})
# https://docs.stripe.com/api/events/list: events go back up to 30 days.
RETENTION = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that caused an event; a dashboard edit has none."""

    request_id: str | None = None
    idempotency_key: str | None = None


DASHBOARD = Origin()


class EventLog:
    """Emits events and lists them."""

    def __init__(self, events: EventStore, ids: Ids, clock: Callable[[], float]) -> None:
        self._events = events
        self._ids = ids
        self._clock = clock
        self._listing = Listing("event", "/v1/events", Timeline(), events.by_id)
        for identifier, event in events.by_id.items():
            self._listing.timeline.add(identifier, event["created"])

    def emit(self, kind: str, origin: Origin, data: Record) -> None:
        """Append an event and start its deliveries."""
        event = self._build(kind, origin, data)
        self._listing.timeline.add(event["id"], event["created"])
        self._events.add(event)

    def retrieve(self, identifier: str) -> Record:
        """Return an event as the API shows it. Raises `ApiError` (404) without one."""
        event = self._events.by_id.get(identifier)
        if event is None or event["created"] < self._oldest():
            raise no_such("event", identifier)
        return self._shown(event)

    def list(self, params: Mapping[str, Any]) -> Record:
        """Return a page of events, newest first."""
        wanted = _type_filter(params.get("type"), params.get("types"))
        outstanding, success = self._events.outstanding.events(), params.get("delivery_success")
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
        """Remove every event from the list."""
        self._listing.timeline.clear()

    def _build(self, kind: str, origin: Origin, data: Record) -> Record:
        return {
            "id": self._ids.event(),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(self._clock()),
            "data": data,
            "livemode": False,
            "pending_webhooks": self._events.wanted(kind),
            "request": {"id": origin.request_id, "idempotency_key": origin.idempotency_key},
            "type": kind,
        }

    def _oldest(self) -> float:
        return self._clock() - RETENTION

    def _shown(self, event: Record) -> Record:
        return {**event, "pending_webhooks": self._events.outstanding.count(event["id"])}


def _type_filter(kind: str | None, kinds: list[str] | None) -> Callable[[str], bool]:
    if kind and kinds:
        raise invalid("You may pass either `type` or `types`, but not both.", "types")
    if kind and kind.endswith("*"):
        return lambda actual: actual.startswith(kind[:-1])
    accepted = {kind} if kind else set(kinds or ())
    return lambda actual: not accepted or actual in accepted
