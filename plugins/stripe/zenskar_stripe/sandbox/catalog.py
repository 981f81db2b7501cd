"""The sandbox's customers, which the API and the dashboard change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .customers import new_customer, patched, previous_attributes, stub
from .errors import no_such
from .listing import Listing
from .timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zenskar.http.lookalike import Record, Store

    from .events import EventLog, Origin
    from .ids import Ids
    from .search import SearchView

KIND = "customer"


class Catalog:
    """Customers in memory, written through to the store; every change emits its event."""

    def __init__(
        self,
        store: Store,
        ids: Ids,
        clock: Callable[[], float],
        events: EventLog,
        search: SearchView,
    ) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._events = events
        self._search = search
        self._customers: dict[str, Record] = {}
        self._by_email: dict[str, set[str]] = {}
        self._listing = Listing("customer", "/v1/customers", Timeline(), self._customers)
        self._load()

    def create(self, params: Mapping[str, Any], origin: Origin) -> Record:
        """Create a customer."""
        created = int(self._clock())
        prefix = params.get("invoice_prefix") or self._ids.invoice_prefix()
        given = {**params, "invoice_prefix": prefix}
        customer = new_customer(self._new_id(), created, prefix, given)
        self._listing.timeline.add(customer["id"], created)
        self._keep(customer)
        self._events.emit("customer.created", origin, {"object": customer})
        return customer

    def update(self, identifier: str, params: Mapping[str, Any], origin: Origin) -> Record:
        """Update the given fields; emit no event when nothing changes."""
        before = self._live(identifier)
        after = patched(before, params)
        previous = previous_attributes(before, after)
        if previous:
            self._unindex(before)
            self._keep(after)
            data = {"object": after, "previous_attributes": previous}
            self._events.emit("customer.updated", origin, data)
        return after

    def delete(self, identifier: str, origin: Origin) -> Record:
        """Delete a customer permanently; a stub stays retrievable."""
        customer, gone = self._live(identifier), stub(identifier)
        self._unindex(customer)
        self._customers[identifier] = gone
        self._listing.timeline.remove(identifier)
        self._search.remove(identifier)
        self._store.put(KIND, identifier, {**gone, "created": customer["created"]})
        self._events.emit("customer.deleted", origin, {"object": customer})
        return gone

    def retrieve(self, identifier: str) -> Record:
        """Return a customer or the stub of a deleted customer. Raises `ApiError` (404) without."""
        if identifier not in self._customers:
            raise no_such("customer", identifier)
        return self._customers[identifier]

    def living(self) -> tuple[Record, ...]:
        """Return every customer that is not deleted."""
        return tuple(c for c in self._customers.values() if not c.get("deleted"))

    def list(self, params: Mapping[str, Any]) -> Record:
        """Return a page of customers, newest first."""
        if clock := params.get("test_clock"):
            raise no_such("test clock", clock, param="test_clock", status=400)
        email = params.get("email")
        among = self._by_email.get(email, ()) if email else None
        return self._listing.page(params, among=among)

    def search(self, params: Mapping[str, Any]) -> Record:
        """Return a page of search results."""
        return self._search.page(params)

    def clear(self) -> None:
        """Remove every customer."""
        self._customers.clear()
        self._by_email.clear()
        self._listing.timeline.clear()
        self._search.clear()
        self._store.clear(KIND)

    def _live(self, identifier: str) -> Record:
        customer = self.retrieve(identifier)
        if customer.get("deleted"):
            raise no_such("customer", identifier)
        return customer

    def _keep(self, customer: Record) -> None:
        self._index(customer)
        self._search.put(customer)
        self._store.put(KIND, customer["id"], customer)

    def _index(self, customer: Record) -> None:
        self._customers[customer["id"]] = customer
        if customer["email"] is not None:
            self._by_email.setdefault(customer["email"], set()).add(customer["id"])

    def _unindex(self, customer: Record) -> None:
        email = customer["email"]
        if email is not None:
            self._by_email[email].discard(customer["id"])
            if not self._by_email[email]:
                del self._by_email[email]

    def _new_id(self) -> str:
        while (identifier := self._ids.customer()) in self._customers:
            pass
        return identifier

    def _load(self) -> None:
        for identifier, record in self._store.load(KIND):
            self._listing.timeline.add(identifier, record["created"])
            if record.get("deleted"):
                self._listing.timeline.remove(identifier)
                self._customers[identifier] = stub(identifier)
            else:
                self._index(record)
                self._search.put(record, at=record["created"])
