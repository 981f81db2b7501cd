"""The endpoints that receive the webhooks of a look-alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from zenskar.http.lookalike.bad_input import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from zenskar.http.lookalike.record_store import Record, Store

KIND = "endpoint"


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """A destination of events; `events` None means all types."""

    id: str
    url: str
    secret: str
    events: frozenset[str] | None = None

    def wants(self, kind: str) -> bool:
        """Return whether this endpoint receives events of a type."""
        return self.events is None or kind in self.events

    def shown(self) -> Record:
        """Return the endpoint for the control surface, without the secret."""
        return {"id": self.id, "url": self.url, "events": sorted(self.events or {"*"})}


class Endpoints:
    """The configured endpoints, by id; one per URL. `event_types` None means: of any name."""

    def __init__(
        self, store: Store, new_id: Callable[[], str], event_types: Collection[str] | None = None
    ) -> None:
        self._store = store
        self._new_id = new_id
        self._event_types = event_types
        self._endpoints = {key: _loaded(record) for key, record in store.load(KIND)}

    def __iter__(self) -> Iterator[WebhookEndpoint]:
        return iter(list(self._endpoints.values()))

    def add(self, url: str, secret: str, events: Iterable[str] | None = None) -> WebhookEndpoint:
        """Add an endpoint; an endpoint with a known URL gets the new secret and types.

        Raises `BadInput` for a wrong URL, secret or type.
        """
        types = self._checked(url, secret, events)
        known = next((each.id for each in self._endpoints.values() if each.url == url), None)
        endpoint = WebhookEndpoint(known or self._new_id(), url, secret, types)
        self._endpoints[endpoint.id] = endpoint
        self._store.put(KIND, endpoint.id, {**endpoint.shown(), "secret": secret})
        return endpoint

    def get(self, identifier: str) -> WebhookEndpoint | None:
        """Return an endpoint, None when it was removed."""
        return self._endpoints.get(identifier)

    def remove(self, identifier: str) -> bool:
        """Remove an endpoint; return whether it existed."""
        self._store.delete(KIND, identifier)
        return self._endpoints.pop(identifier, None) is not None

    def wanting(self, kind: str) -> list[WebhookEndpoint]:
        """Return the endpoints that receive events of a type."""
        return [each for each in self._endpoints.values() if each.wants(kind)]

    def _checked(
        self, url: str, secret: str, events: Iterable[str] | None
    ) -> frozenset[str] | None:
        if not is_web(url):
            raise BadInput(f"url must be an absolute http or https URL, not {url!r}")
        if not secret:
            raise BadInput("secret must not be empty")
        types = frozenset(["*"] if events is None else events)
        known = types if self._event_types is None else frozenset(self._event_types)
        if unknown := sorted(types - known - {"*"}):
            raise BadInput(
                f"unknown event types: {', '.join(unknown)}; "
                f"known are {', '.join(sorted(known))} and *"
            )
        if not types:
            raise BadInput("events must name at least one type")
        return None if "*" in types else types


def is_web(url: str) -> bool:
    """Return whether a text is an absolute HTTP URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _loaded(record: Record) -> WebhookEndpoint:
    events = None if "*" in record["events"] else frozenset(record["events"])
    return WebhookEndpoint(record["id"], record["url"], record["secret"], events)
